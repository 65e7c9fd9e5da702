package gopeer

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// The commands of the application: the first byte of a stream. README.md
// describes what follows each.
const (
	cmdEcho     = 'e'
	cmdDigest   = 'd'
	cmdSource   = 's'
	cmdRequests = 'q'
	cmdType     = 't'
	cmdReset    = 'x'
	cmdGoAway   = 'g'
	cmdShutdown = 'z'
	cmdBye      = 'b'
	cmdEarly    = 'a'
	cmdBegin    = 'n'
	cmdLate     = 'l'
)

// acceptLoop serves streams until the session is over.
func (p *peer) acceptLoop() {
	for {
		stream, streamType, err := p.session.Accept()
		if err != nil {
			// A plain accept fails when the session is over, which is told
			// elsewhere a moment later. A typed one fails as well when a
			// stream ended before its type came in.
			limit := endLimit
			if p.options.typed {
				limit = 10 * time.Millisecond
			}
			select {
			case <-p.ended:
				return
			case <-time.After(limit):
				p.report.serveError(fmt.Errorf("accept: %w", err))
				continue
			}
		}
		p.report.accepted()
		go func() {
			var err error
			if p.options.app == "echo" {
				err = p.echo(stream)
			} else {
				err = p.serve(stream, streamType)
			}
			if err != nil {
				p.report.serveError(err)
			}
			stream.Close()
		}()
	}
}

func (p *peer) serve(stream Stream, streamType uint32) error {
	var command [1]byte
	if _, err := io.ReadFull(stream, command[:]); err != nil {
		return fmt.Errorf("read command: %w", err)
	}
	switch command[0] {
	case cmdEcho:
		return p.echo(stream)
	case cmdDigest:
		return p.digest(stream)
	case cmdSource:
		return p.source(stream)
	case cmdRequests:
		return p.answer(stream)
	case cmdType:
		if err := p.writeUint32(stream, streamType); err != nil {
			return err
		}
		return p.echo(stream)
	case cmdReset:
		// The library has no call that sends RST. Closing while data is in
		// flight makes it answer that data with one.
		return stream.Close()
	case cmdGoAway:
		if err := p.session.GoAway(0, []byte("draining"), time.Now().Add(5*time.Second)); err != nil {
			return fmt.Errorf("go away: %w", err)
		}
		_, err := stream.Write([]byte{cmdGoAway})
		return err
	case cmdShutdown:
		return p.session.Close()
	case cmdEarly:
		return p.answerEarly(stream)
	case cmdBegin:
		return p.beginEarly(stream)
	case cmdLate:
		return p.answerLate(stream)
	case cmdBye:
		p.peerDone()
		return nil
	default:
		return fmt.Errorf("unknown command %q", command[0])
	}
}

func (p *peer) echo(stream Stream) error {
	buffer := make([]byte, p.options.readSize)
	for {
		n, err := stream.Read(buffer)
		p.report.moved(int64(n), 0)
		if n > 0 {
			if err := p.writeAll(stream, buffer[:n]); err != nil {
				return fmt.Errorf("echo: %w", err)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("echo: %w", err)
		}
	}
}

func (p *peer) digest(stream Stream) error {
	seed, err := readUint64(stream)
	if err != nil {
		return fmt.Errorf("digest: %w", err)
	}
	c := newChecker(seed)
	if err := p.readAll(stream, c); err != nil {
		return fmt.Errorf("digest: %w", err)
	}
	reply := binary.BigEndian.AppendUint64(nil, uint64(c.count))
	return p.writeAll(stream, binary.BigEndian.AppendUint64(reply, c.mismatch))
}

func (p *peer) source(stream Stream) error {
	seed, err := readUint64(stream)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	count, err := readUint64(stream)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	return p.writePattern(stream, seed, int64(count))
}

// answer replies to each request with its complement.
func (p *peer) answer(stream Stream) error {
	for {
		var length [4]byte
		if _, err := io.ReadFull(stream, length[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("request: %w", err)
		}
		message := make([]byte, 4+binary.BigEndian.Uint32(length[:]))
		copy(message, length[:])
		if _, err := io.ReadFull(stream, message[4:]); err != nil {
			return fmt.Errorf("request: %w", err)
		}
		p.report.moved(int64(len(message)), 0)
		for i := 4; i < len(message); i++ {
			message[i] = ^message[i]
		}
		if err := p.writeAll(stream, message); err != nil {
			return fmt.Errorf("reply: %w", err)
		}
	}
}

// writeAll writes in pieces of at most --write-size bytes.
func (p *peer) writeAll(stream Stream, data []byte) error {
	for len(data) > 0 {
		n, err := stream.Write(data[:min(len(data), p.options.writeSize)])
		p.report.moved(0, int64(n))
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

func (p *peer) writePattern(stream Stream, seed uint64, count int64) error {
	buffer := make([]byte, min(count, int64(p.options.writeSize)))
	for offset := int64(0); offset < count; {
		piece := buffer[:min(count-offset, int64(len(buffer)))]
		fill(piece, seed, offset)
		if err := p.writeAll(stream, piece); err != nil {
			return fmt.Errorf("write at %d: %w", offset, err)
		}
		offset += int64(len(piece))
	}
	return nil
}

// readAll checks everything up to the end of the stream.
func (p *peer) readAll(stream Stream, c *checker) error {
	buffer := make([]byte, p.options.readSize)
	for {
		n, err := stream.Read(buffer)
		p.report.moved(int64(n), 0)
		c.check(buffer[:n])
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read at %d: %w", c.count, err)
		}
	}
}

func (p *peer) writeUint32(stream Stream, value uint32) error {
	return p.writeAll(stream, binary.BigEndian.AppendUint32(nil, value))
}

func readUint64(stream Stream) (uint64, error) {
	var bytes [8]byte
	_, err := io.ReadFull(stream, bytes[:])
	return binary.BigEndian.Uint64(bytes[:]), err
}
