package gopeer

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// call is one line of --app control: a single call on the library.
type call struct {
	ID     int    `json:"id"`
	Call   string `json:"call"`
	Stream string `json:"stream"` // the name under which a stream is kept
	Hex    string `json:"hex"`
	Count  int    `json:"count"`
	Type   uint32 `json:"type"`
	Code   uint32 `json:"code"`
	Text   string `json:"text"`
}

// result answers the call of the same id, once it has returned.
type result struct {
	Event    string `json:"event"`
	ID       int    `json:"id"`
	OK       bool   `json:"ok"`
	Error    string `json:"error,omitempty"`
	Code     uint32 `json:"code"`
	N        int    `json:"n"`
	Hex      string `json:"hex,omitempty"`
	Type     uint32 `json:"type"`
	StreamID uint32 `json:"stream_id"`
	Beats    int    `json:"beats"`
	Timeouts int    `json:"beat_timeouts"`
}

// control lets a test make single calls on the library and see what each
// returns. Every call has its own goroutine, so a blocked one does not delay
// others.
func (p *peer) control(commands io.Reader) {
	streams := &namedStreams{byName: map[string]Stream{}}
	lines := bufio.NewScanner(commands)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var c call
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			p.report.fail("command %q: %v", lines.Text(), err)
			continue
		}
		go func() {
			r := result{Event: "result", ID: c.ID}
			err := p.make(&c, streams, &r)
			r.OK = err == nil
			if err != nil {
				r.Error, r.Code = err.Error(), p.code(err)
			}
			printLine(&r)
		}()
	}
	p.session.Close()
}

type namedStreams struct {
	mu     sync.Mutex
	byName map[string]Stream
}

func (s *namedStreams) put(name string, stream Stream, r *result) {
	s.mu.Lock()
	s.byName[name] = stream
	s.mu.Unlock()
	r.StreamID = stream.Id()
}

func (s *namedStreams) get(name string) (Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stream := s.byName[name]; stream != nil {
		return stream, nil
	}
	return nil, fmt.Errorf("no stream %q", name)
}

func (p *peer) make(c *call, streams *namedStreams, r *result) error {
	switch c.Call {
	case "open", "open_typed":
		open := p.session.Open
		if c.Call == "open_typed" {
			open = func() (Stream, error) { return p.session.OpenTyped(c.Type) }
		}
		stream, err := open()
		if err == nil {
			streams.put(c.Stream, stream, r)
		}
		return err
	case "accept":
		stream, streamType, err := p.session.Accept()
		if err == nil {
			streams.put(c.Stream, stream, r)
			r.Type = streamType
		}
		return err
	case "go_away":
		return p.session.GoAway(c.Code, []byte(c.Text), time.Now().Add(endLimit))
	case "close_session":
		return p.session.Close()
	case "wait":
		cause, remote, debug := p.session.Wait()
		r.N, r.Hex = int(p.library.ErrorCode(remote)), hex.EncodeToString(debug)
		return cause
	case "beats":
		// Waits for this many.
		for r.Beats, r.Timeouts = p.report.beats(); r.Beats < c.Count; r.Beats, r.Timeouts = p.report.beats() {
			<-p.report.beat
		}
		return nil
	case "beat":
		return p.beatOnDemand()
	case "race":
		return p.race(c.Count)
	}
	stream, err := streams.get(c.Stream)
	if err != nil {
		return err
	}
	return p.makeOnStream(c, stream, r)
}

func (p *peer) makeOnStream(c *call, stream Stream, r *result) (err error) {
	switch c.Call {
	case "write":
		var data []byte
		if data, err = hex.DecodeString(c.Hex); err != nil {
			return err
		}
		// With a count, that many zero bytes instead.
		if c.Count > 0 {
			data = make([]byte, c.Count)
		}
		r.N, err = stream.Write(data)
		return err
	case "read":
		buffer := make([]byte, c.Count)
		r.N, err = stream.Read(buffer)
		r.Hex = hex.EncodeToString(buffer[:r.N])
		return err
	case "read_exact":
		buffer := make([]byte, c.Count)
		r.N, err = io.ReadFull(stream, buffer)
		r.Hex = hex.EncodeToString(buffer[:r.N])
		return err
	case "drain":
		// Reads to the end without giving the data back.
		var n int64
		n, err = io.Copy(io.Discard, struct{ io.Reader }{stream})
		r.N = int(n)
		return err
	case "close_write":
		return stream.CloseWrite()
	case "close":
		return stream.Close()
	default:
		return fmt.Errorf("unknown call %q", c.Call)
	}
}

// race opens one stream after the other, and writes on each from two
// goroutines at once. At the end it says so on a stream of its own.
func (p *peer) race(count int) error {
	for ; count > 0; count-- {
		stream, err := p.session.Open()
		if err != nil {
			return err
		}
		var ready atomic.Int32
		var writers sync.WaitGroup
		writers.Add(2)
		for range [2]struct{}{} {
			go func() {
				defer writers.Done()
				// With any other wait they would begin one after the other.
				for ready.Add(1); ready.Load() < 2; {
				}
				// A stream that is refused in the meantime is no fault.
				_, _ = stream.Write([]byte("x"))
			}()
		}
		writers.Wait()
		stream.Close()
	}
	stream, err := p.session.Open()
	if err != nil {
		return err
	}
	if _, err := stream.Write([]byte("no race")); err != nil {
		return err
	}
	return stream.Close()
}

// beatOnDemand asks for a heartbeat between two intervals, if the library
// supports that.
func (p *peer) beatOnDemand() error {
	beater, ok := p.session.(interface {
		Beat() (time.Duration, bool)
	})
	if !ok {
		return errors.New("the library has no heartbeat on demand")
	}
	if _, ok := beater.Beat(); !ok {
		return errors.New("no answer in time")
	}
	return nil
}
