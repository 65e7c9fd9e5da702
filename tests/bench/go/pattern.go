package main

import (
	"bytes"
	"fmt"
)

// The payload of the streams: the same as in the Rust program.
const (
	period  = 1023 * 64
	longest = 1 << 20
	// hold is the first byte of a stream that carries bulk beside small messages.
	hold = 0xff
)

var table = func() []byte {
	state := uint64(0x2545_F491_4F6C_DD1D)
	whole := make([]byte, period, period+longest)
	for i := range whole {
		state = state*6_364_136_223_846_793_005 + 1
		whole[i] = byte(state >> 56)
	}
	whole[0] = 0
	for len(whole) < period+longest {
		whole = append(whole, whole[:min(period, period+longest-len(whole))]...)
	}
	return whole
}()

// pattern is the bytes at an offset of every stream.
func pattern(offset uint64, size int) []byte {
	start := int(offset % period)
	return table[start : start+size]
}

// check follows the contents of one stream.
type check struct {
	seen uint64
	full bool
}

// piece takes the next piece of the stream, of at most 1 MiB.
func (c *check) piece(piece []byte) error {
	expected := pattern(c.seen, len(piece))
	same := bytes.Equal(piece, expected)
	if !c.full {
		same = sampledEqual(piece, expected)
	}
	if !same {
		return fmt.Errorf("the contents differ after byte %d of a stream", c.seen)
	}
	c.seen += uint64(len(piece))
	return nil
}

// sampledEqual compares both ends, and 16 bytes of every 4 KiB in between.
func sampledEqual(seen, expected []byte) bool {
	ends := min(len(seen), 64)
	tail := len(seen) - ends
	if !bytes.Equal(seen[:ends], expected[:ends]) || !bytes.Equal(seen[tail:], expected[tail:]) {
		return false
	}
	for at := 4096; at+16 < len(seen); at += 4096 {
		if !bytes.Equal(seen[at:at+16], expected[at:at+16]) {
			return false
		}
	}
	return true
}
