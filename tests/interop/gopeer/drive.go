package gopeer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// endLimit bounds the wait for the end of a session that must end.
const endLimit = 10 * time.Second

// drive does what --drive says on streams this side opens.
func (p *peer) drive() {
	switch p.options.drive {
	case "echo":
		p.each(p.driveEcho)
	case "digest":
		p.each(p.driveDigest)
	case "source":
		p.each(p.driveSource)
	case "requests":
		p.each(p.driveRequests)
	case "typed":
		p.each(p.driveTyped)
	case "hold":
		p.driveHold()
	case "abandon":
		p.each(p.driveAbandon)
		p.probe()
	case "refused":
		p.each(p.driveRefused)
		p.probe()
	case "shutdown":
		p.driveShutdown()
	case "goaway":
		p.driveGoAway(p.askForGoAway)
	case "goaway-local":
		p.driveGoAway(p.sendGoAway)
	case "burst":
		p.driveBurst()
	case "late":
		p.each(p.driveLate)
	case "early":
		p.each(p.driveEarly)
	case "heartbeat":
		p.driveHeartbeat()
	default:
		fatal(fmt.Errorf("unknown --drive %q", p.options.drive))
	}
}

// each runs one stream after the other, --in-flight at a time.
func (p *peer) each(one func(index int) error) {
	var running sync.WaitGroup
	indices := make(chan int)
	for worker := 0; worker < p.options.inFlight; worker++ {
		running.Add(1)
		go func() {
			defer running.Done()
			for index := range indices {
				p.note(index, one(index))
			}
		}()
	}
	for index := 0; index < p.options.streams; index++ {
		indices <- index
	}
	close(indices)
	running.Wait()
}

// note counts a stream that is done, or reports why it failed.
func (p *peer) note(index int, err error) {
	if err != nil {
		p.report.fail("stream %d: %v", index, err)
	} else {
		p.report.completed()
	}
}

// probe shows that the session still works.
func (p *peer) probe() {
	if err := p.driveEcho(p.options.streams); err != nil {
		p.report.fail("probe: %v", err)
	}
}

// open opens a stream; on a typed session its type depends on its index.
func (p *peer) open(index int) (stream Stream, err error) {
	if p.options.typed {
		stream, err = p.session.OpenTyped(streamType(index))
	} else {
		stream, err = p.session.Open()
	}
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	p.report.opened()
	return stream, nil
}

func streamType(index int) uint32 { return 1000 + uint32(index) }

func (p *peer) seed(index int) uint64 {
	seed := uint64(index) << 32
	if p.options.role == "client" {
		seed |= 1 << 63
	}
	return seed
}

func (p *peer) driveEcho(index int) error {
	stream, err := p.open(index)
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := p.writeAll(stream, []byte{cmdEcho}); err != nil {
		return err
	}
	return p.echoRest(stream, p.seed(index), 0)
}

// echoRest writes the pattern from offset on, half-closes, and checks that all
// of it comes back, reading and writing at the same time.
func (p *peer) echoRest(stream Stream, seed uint64, offset int64) error {
	wrote := make(chan error, 1)
	go func() {
		buffer := make([]byte, min(p.options.bytes, int64(p.options.writeSize)))
		for at := offset; at < p.options.bytes; at += int64(len(buffer)) {
			buffer = buffer[:min(p.options.bytes-at, int64(len(buffer)))]
			fill(buffer, seed, at)
			if err := p.writeAll(stream, buffer); err != nil {
				wrote <- fmt.Errorf("write at %d: %w", at, err)
				return
			}
		}
		wrote <- stream.CloseWrite()
	}()
	c := newChecker(seed)
	c.count = offset
	err := p.readAll(stream, c)
	return errors.Join(err, <-wrote, c.verdict(p.options.bytes))
}

func (c *checker) verdict(count int64) error {
	if c.mismatch != noMismatch {
		return fmt.Errorf("wrong byte at %d", c.mismatch)
	}
	if c.count != count {
		return fmt.Errorf("read %d bytes of %d", c.count, count)
	}
	return nil
}

func (p *peer) driveDigest(index int) error {
	stream, err := p.open(index)
	if err != nil {
		return err
	}
	defer stream.Close()
	seed := p.seed(index)
	if err := p.writeAll(stream, binary.BigEndian.AppendUint64([]byte{cmdDigest}, seed)); err != nil {
		return err
	}
	if err := p.writePattern(stream, seed, p.options.bytes); err != nil {
		return err
	}
	if err := stream.CloseWrite(); err != nil {
		return fmt.Errorf("half-close: %w", err)
	}
	// The reply comes on a stream this side has half-closed.
	reply, err := io.ReadAll(stream)
	if err != nil {
		return fmt.Errorf("read the reply: %w", err)
	}
	if len(reply) != 16 {
		return fmt.Errorf("reply of %d bytes", len(reply))
	}
	c := checker{count: int64(binary.BigEndian.Uint64(reply)), mismatch: binary.BigEndian.Uint64(reply[8:])}
	return c.verdict(p.options.bytes)
}

func (p *peer) driveSource(index int) error {
	stream, err := p.open(index)
	if err != nil {
		return err
	}
	defer stream.Close()
	seed := p.seed(index)
	command := binary.BigEndian.AppendUint64([]byte{cmdSource}, seed)
	command = binary.BigEndian.AppendUint64(command, uint64(p.options.bytes))
	if err := p.writeAll(stream, command); err != nil {
		return err
	}
	if err := stream.CloseWrite(); err != nil {
		return fmt.Errorf("half-close: %w", err)
	}
	c := newChecker(seed)
	return errors.Join(p.readAll(stream, c), c.verdict(p.options.bytes))
}

func (p *peer) driveRequests(index int) error {
	stream, err := p.open(index)
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := p.writeAll(stream, []byte{cmdRequests}); err != nil {
		return err
	}
	request := make([]byte, 4+p.options.bytes)
	reply := make([]byte, len(request))
	for n := 0; n < p.options.requests; n++ {
		binary.BigEndian.PutUint32(request, uint32(p.options.bytes))
		fill(request[4:], p.seed(index)+uint64(n), 0)
		if err := p.writeAll(stream, request); err != nil {
			return fmt.Errorf("request %d: %w", n, err)
		}
		if _, err := io.ReadFull(stream, reply); err != nil {
			return fmt.Errorf("reply %d: %w", n, err)
		}
		p.report.moved(int64(len(reply)), 0)
		for i := 4; i < len(reply); i++ {
			reply[i] = ^reply[i]
		}
		if string(reply) != string(request) {
			return fmt.Errorf("reply %d is wrong", n)
		}
	}
	return p.halfCloseAndReadEOF(stream)
}

func (p *peer) halfCloseAndReadEOF(stream Stream) error {
	if err := stream.CloseWrite(); err != nil {
		return fmt.Errorf("half-close: %w", err)
	}
	rest, err := io.ReadAll(stream)
	if err != nil {
		return fmt.Errorf("read to the end: %w", err)
	}
	if len(rest) != 0 {
		return fmt.Errorf("%d bytes too many", len(rest))
	}
	return nil
}

func (p *peer) driveTyped(index int) error {
	stream, err := p.open(index)
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := p.writeAll(stream, []byte{cmdType}); err != nil {
		return err
	}
	var got [4]byte
	if _, err := io.ReadFull(stream, got[:]); err != nil {
		return fmt.Errorf("read the type: %w", err)
	}
	if want := streamType(index); binary.BigEndian.Uint32(got[:]) != want {
		return fmt.Errorf("the peer saw type %x instead of %x", got, want)
	}
	return p.echoRest(stream, p.seed(index), 0)
}

// driveHold opens all streams, then keeps them open until all have been
// answered, so that --streams of them exist at once.
func (p *peer) driveHold() {
	pending := make(chan struct{}, p.options.pending)
	var allAnswered, running sync.WaitGroup
	allAnswered.Add(p.options.streams)
	running.Add(p.options.streams)
	for index := 0; index < p.options.streams; index++ {
		index := index
		pending <- struct{}{}
		go func() {
			defer running.Done()
			stream, err := p.openAnswered(index)
			<-pending
			allAnswered.Done()
			if err != nil {
				p.report.fail("stream %d: %v", index, err)
				return
			}
			defer stream.Close()
			allAnswered.Wait()
			if err := p.echoRest(stream, p.seed(index), answered); err != nil {
				p.report.fail("stream %d: %v", index, err)
				return
			}
			p.report.completed()
		}()
	}
	running.Wait()
}

// answered is how much of the pattern openAnswered exchanges.
const answered = 64

// openAnswered opens an echo stream and exchanges the first bytes on it.
func (p *peer) openAnswered(index int) (Stream, error) {
	stream, err := p.open(index)
	if err != nil {
		return nil, err
	}
	first := make([]byte, 1+answered)
	first[0] = cmdEcho
	fill(first[1:], p.seed(index), 0)
	if err := p.writeAll(stream, first); err != nil {
		return nil, fmt.Errorf("first write: %w", err)
	}
	got := make([]byte, answered)
	if _, err := io.ReadFull(stream, got); err != nil {
		return nil, fmt.Errorf("first read: %w", err)
	}
	if string(got) != string(first[1:]) {
		return nil, errors.New("the first bytes are wrong")
	}
	return stream, nil
}

// driveAbandon closes streams while the peer's data is in flight.
func (p *peer) driveAbandon(index int) error {
	stream, err := p.open(index)
	if err != nil {
		return err
	}
	command := binary.BigEndian.AppendUint64([]byte{cmdSource}, p.seed(index))
	command = binary.BigEndian.AppendUint64(command, uint64(p.options.bytes))
	if err := p.writeAll(stream, command); err != nil {
		return err
	}
	if _, err := io.ReadFull(stream, make([]byte, 1)); err != nil {
		return fmt.Errorf("first read: %w", err)
	}
	return stream.Close()
}

// driveRefused writes to streams the peer resets, until the error comes. It
// stays far below the window and makes a round trip after each write: a peer
// that closes with a full window unread sends nothing that would wake a writer.
func (p *peer) driveRefused(index int) error {
	stream, err := p.open(index)
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := p.writeAll(stream, binary.BigEndian.AppendUint32([]byte{cmdReset}, uint32(p.options.code))); err != nil {
		return err
	}
	const piece, attempts = 512, 200
	for n := 0; n < attempts; n++ {
		if err := p.writePattern(stream, p.seed(index), piece); err != nil {
			p.report.reset(p.code(err))
			return nil
		}
		if err := p.driveEcho(p.options.streams); err != nil {
			return fmt.Errorf("probe: %w", err)
		}
	}
	return errors.New("the peer took everything")
}

// code finds the muxado error code in a wrapped error.
func (p *peer) code(err error) uint32 {
	for next := err; next != nil; next = errors.Unwrap(next) {
		err = next
	}
	return p.library.ErrorCode(err)
}

// driveShutdown has the peer end the session while streams are idle.
func (p *peer) driveShutdown() {
	p.each(p.driveEcho)
	stream, err := p.open(p.options.streams)
	if err == nil {
		err = p.writeAll(stream, []byte{cmdShutdown})
	}
	if err == nil {
		// A graceful close of the peer waits for all streams, including this one.
		stream.CloseWrite()
	}
	if err != nil {
		p.report.fail("shutdown: %v", err)
		return
	}
	select {
	case <-p.ended:
	case <-time.After(endLimit):
		p.report.fail("the peer did not end the session")
	}
}

// driveGoAway has one side go away while streams are running, finishes them,
// and checks that no further stream can be opened.
func (p *peer) driveGoAway(goAway func() error) {
	streams := make([]Stream, p.options.streams)
	for index := range streams {
		stream, err := p.openAnswered(index)
		if err != nil {
			p.report.fail("stream %d: %v", index, err)
			return
		}
		streams[index] = stream
	}
	if err := goAway(); err != nil {
		p.report.fail("go away: %v", err)
		return
	}
	p.echoRestOfEach(streams)
}

// echoRestOfEach finishes streams that openAnswered began.
func (p *peer) echoRestOfEach(streams []Stream) {
	p.each(func(index int) error {
		defer streams[index].Close()
		return p.echoRest(streams[index], p.seed(index), answered)
	})
}

// askForGoAway asks the peer to go away. The answer follows its GOAWAY.
func (p *peer) askForGoAway() error {
	stream, err := p.open(p.options.streams)
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := p.writeAll(stream, []byte{cmdGoAway}); err != nil {
		return err
	}
	if _, err := io.ReadFull(stream, make([]byte, 1)); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if _, err := p.open(p.options.streams + 1); err == nil {
		return errors.New("a stream was opened after the peer's GOAWAY")
	} else {
		p.report.reset(p.code(err))
	}
	return nil
}

func (p *peer) sendGoAway() error {
	return p.session.GoAway(0, []byte("draining"), time.Now().Add(endLimit))
}

func (p *peer) driveHeartbeat() {
	limit := time.After(endLimit)
	for {
		beats, timeouts := p.report.beats()
		if timeouts > 0 {
			p.report.fail("%d heartbeats timed out", timeouts)
			return
		}
		if beats >= p.options.beats {
			p.probe()
			return
		}
		select {
		case <-p.report.beat:
		case <-limit:
			p.report.fail("%d heartbeats of %d", beats, p.options.beats)
			return
		}
	}
}

// sayBye tells the peer that this side's drive is done, and optionally
// waits until the peer has received that.
func (p *peer) sayBye(wait bool) error {
	stream, err := p.open(p.options.streams)
	if err != nil {
		return err
	}
	if err := p.writeAll(stream, []byte{cmdBye}); err != nil {
		return err
	}
	if wait {
		return p.halfCloseAndReadEOF(stream)
	}
	return stream.CloseWrite()
}
