package gopeer

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"
)

// Answers that come before their request was read to its end.

// earlyAnswer is the length of such an answer, firstWindow what may be sent
// before it, and slice the size of the writes of a request that goes on.
const (
	earlyAnswer = 16 << 10
	firstWindow = 256 << 10
	slice       = 256
	requestSize = 10000
)

// starts has a channel for each answer, by its seed, that is closed when the
// answer is to begin.
type starts struct{ channels sync.Map }

func (s *starts) of(seed uint64) chan struct{} {
	channel, _ := s.channels.LoadOrStore(seed, make(chan struct{}))
	return channel.(chan struct{})
}

// answerEarly waits for the word to begin, answers, half-closes, and returns
// after the delay; the caller closes the stream.
func (p *peer) answerEarly(stream Stream) error {
	seed, err := readUint64(stream)
	if err != nil {
		return fmt.Errorf("early answer: %w", err)
	}
	var delay [4]byte
	if _, err := io.ReadFull(stream, delay[:]); err != nil {
		return fmt.Errorf("early answer: %w", err)
	}
	select {
	case <-p.starts.of(seed):
	case <-p.ended:
		return nil
	}
	if err := p.writePattern(stream, seed, earlyAnswer); err != nil {
		return fmt.Errorf("early answer: %w", err)
	}
	if err := stream.CloseWrite(); err != nil {
		return fmt.Errorf("early answer: half-close: %w", err)
	}
	time.Sleep(time.Duration(binary.BigEndian.Uint32(delay[:])) * time.Millisecond)
	return nil
}

func (p *peer) beginEarly(stream Stream) error {
	seed, err := readUint64(stream)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	close(p.starts.of(seed))
	return nil
}

// driveEarly asks for an early answer, and counts as a reset whatever its
// reader gets instead of the whole answer and its end.
func (p *peer) driveEarly(index int) error {
	stream, err := p.open(index)
	if err != nil {
		return err
	}
	// Close waits for a writer that is out of credit.
	defer func() { go stream.Close() }()
	seed := p.seed(index)
	request := binary.BigEndian.AppendUint64([]byte{cmdEarly}, seed)
	request = binary.BigEndian.AppendUint32(request, uint32(p.options.delay))
	if err := p.writeAll(stream, request); err != nil {
		return err
	}
	// Writers are left to themselves: one that is out of credit stays so, if
	// the peer is as silent as this library.
	switch p.options.request {
	case "complete":
		if err := p.writePattern(stream, seed, requestSize); err != nil {
			return err
		}
		if err := stream.CloseWrite(); err != nil {
			return fmt.Errorf("half-close: %w", err)
		}
		err = p.sayBegin(index, seed)
	case "flowing":
		err = p.sayBegin(index, seed)
		go func() {
			buffer := make([]byte, slice)
			for err := error(nil); err == nil; {
				_, err = stream.Write(buffer)
			}
		}()
	case "blocked":
		rest := make([]byte, firstWindow-len(request))
		if _, err := stream.Write(rest); err != nil {
			return fmt.Errorf("fill the window: %w", err)
		}
		go stream.Write(rest)
		err = p.sayBegin(index, seed)
	default:
		err = fmt.Errorf("unknown --request %q", p.options.request)
	}
	if err != nil {
		return err
	}
	c := newChecker(seed)
	if err := p.readAll(stream, c); err != nil {
		p.report.reset(p.code(err))
		return nil
	}
	return c.verdict(earlyAnswer)
}

// sayBegin has the peer begin an answer.
func (p *peer) sayBegin(index int, seed uint64) error {
	stream, err := p.open(index)
	if err != nil {
		return err
	}
	defer stream.Close()
	return p.writeAll(stream, binary.BigEndian.AppendUint64([]byte{cmdBegin}, seed))
}
