package gopeer

import "encoding/binary"

// noMismatch is the offset reported when every byte was right.
const noMismatch = ^uint64(0)

// splitMix is one step of the SplitMix64 generator, a bijection of 64 bits.
func splitMix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb
	return x ^ (x >> 31)
}

// fill writes the payload of a stream from offset on. The payload depends
// only on the seed and the offset, so each end can check every byte and detect a
// lost, repeated or misplaced piece.
func fill(buffer []byte, seed uint64, offset int64) {
	var word [8]byte
	for len(buffer) > 0 {
		binary.LittleEndian.PutUint64(word[:], splitMix(seed+uint64(offset/8)))
		n := copy(buffer, word[offset%8:])
		buffer = buffer[n:]
		offset += int64(n)
	}
}

// checker compares a received payload with the pattern.
type checker struct {
	seed     uint64
	count    int64
	mismatch uint64
	expected []byte
}

func newChecker(seed uint64) *checker {
	return &checker{seed: seed, mismatch: noMismatch}
}

func (c *checker) check(got []byte) {
	if len(c.expected) < len(got) {
		c.expected = make([]byte, len(got))
	}
	expected := c.expected[:len(got)]
	fill(expected, c.seed, c.count)
	if c.mismatch == noMismatch && string(expected) != string(got) {
		for i := range got {
			if got[i] != expected[i] {
				c.mismatch = uint64(c.count) + uint64(i)
				break
			}
		}
	}
	c.count += int64(len(got))
}
