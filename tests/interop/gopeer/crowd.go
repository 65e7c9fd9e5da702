package gopeer

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"
)

// Many streams that begin at the same moment, or wait for their answers at the
// same time.

// driveBurst writes to --in-flight streams at once, waits for all of them, and
// begins again until there were --streams of them.
func (p *peer) driveBurst() {
	for first := 0; first < p.options.streams; first += p.options.inFlight {
		var burst sync.WaitGroup
		for index := first; index < min(first+p.options.inFlight, p.options.streams); index++ {
			burst.Add(1)
			go func(index int) {
				defer burst.Done()
				p.note(index, p.driveEcho(index))
			}(index)
		}
		burst.Wait()
	}
}

// driveLate asks for an answer that comes late.
func (p *peer) driveLate(index int) error {
	stream, err := p.open(index)
	if err != nil {
		return err
	}
	defer stream.Close()
	request := binary.BigEndian.AppendUint32([]byte{cmdLate}, uint32(p.options.delay))
	if err := p.writeAll(stream, request); err != nil {
		return err
	}
	return p.echoRest(stream, p.seed(index), 0)
}

// answerLate waits, then echoes.
func (p *peer) answerLate(stream Stream) error {
	var delay [4]byte
	if _, err := io.ReadFull(stream, delay[:]); err != nil {
		return fmt.Errorf("late answer: %w", err)
	}
	time.Sleep(time.Duration(binary.BigEndian.Uint32(delay[:])) * time.Millisecond)
	return p.echo(stream)
}
