package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// work runs a workload.
type work func(opener, acceptor, plan) (*outcome, error)

const (
	messageSize = 64
	readSize    = 64 << 10
)

// message is the message of a number.
func message(number uint64) []byte { return pattern(number*messageSize, messageSize) }

// serve starts a handler on each stream that comes, and closes the stream after it.
func serve(accept acceptor, handle func(stream) error) {
	for {
		s, err := accept()
		if err != nil {
			return
		}
		go func() {
			if err := handle(s); err != nil {
				fmt.Fprintln(os.Stderr, "server:", err)
			}
			s.Close()
		}()
	}
}

// sendBack echoes until the end of the stream.
func sendBack(size int) func(stream) error {
	return func(s stream) error {
		buffer := make([]byte, size)
		for {
			n, err := s.Read(buffer)
			if err != nil {
				// The client closes or resets a stream that has all its answers.
				return nil
			}
			if _, err := s.Write(buffer[:n]); err != nil {
				return err
			}
		}
	}
}

// exchange sends a message and reads it back.
func exchange(s stream, sent, buffer []byte) error {
	if _, err := s.Write(sent); err != nil {
		return err
	}
	if _, err := io.ReadFull(s, buffer[:len(sent)]); err != nil {
		return err
	}
	if string(buffer[:len(sent)]) != string(sent) {
		return errors.New("an answer is not its message")
	}
	return nil
}

// both runs an operation for the warm-up and then for the time, on several
// goroutines. Bytes are those of one operation.
func both(p plan, workers int, bytes uint64, operation func(number uint64) error) (*outcome, error) {
	if _, err := phase(p.warmUp, workers, operation); err != nil {
		return nil, err
	}
	meter := startMeter()
	times, err := phase(p.time, workers, operation)
	if err != nil {
		return nil, err
	}
	ops := uint64(len(times))
	return &outcome{Ops: ops, Bytes: ops * bytes, Usage: meter.stop(), Latency: percentiles(times)}, nil
}

func phase(span time.Duration, workers int, operation func(number uint64) error) ([]time.Duration, error) {
	var (
		until  = time.Now().Add(span)
		group  sync.WaitGroup
		times  = make([][]time.Duration, workers)
		failed = make([]error, workers)
	)
	for worker := range times {
		group.Add(1)
		go func(worker int) {
			defer group.Done()
			for number := uint64(worker); time.Now().Before(until); number += uint64(workers) {
				began := time.Now()
				if failed[worker] = operation(number); failed[worker] != nil {
					return
				}
				times[worker] = append(times[worker], time.Since(began))
			}
		}(worker)
	}
	group.Wait()
	all := times[0]
	for _, more := range times[1:] {
		all = append(all, more...)
	}
	return all, errors.Join(failed...)
}

func pingPong(open opener, accept acceptor, p plan) (*outcome, error) {
	go serve(accept, sendBack(messageSize))
	s, err := open()
	if err != nil {
		return nil, err
	}
	buffer := make([]byte, messageSize)
	return both(p, 1, messageSize, func(number uint64) error { return exchange(s, message(number), buffer) })
}

// oneRequest opens a stream, makes a request and closes the stream.
func oneRequest(open opener, sent []byte) error {
	s, err := open()
	if err != nil {
		return err
	}
	defer s.Close()
	return exchange(s, sent, make([]byte, messageSize))
}

func request(inflight int) work {
	return func(open opener, accept acceptor, p plan) (*outcome, error) {
		go serve(accept, sendBack(messageSize))
		return both(p, inflight, messageSize, func(number uint64) error {
			return oneRequest(open, message(number))
		})
	}
}

// echo sends a payload on each of some streams at once and reads it back.
func echo(streams, payload, write int) work {
	return func(open opener, accept acceptor, p plan) (*outcome, error) {
		go serve(accept, sendBack(max(64, min(payload, readSize))))
		round := func(uint64) error {
			failed := make(chan error, streams)
			for i := 0; i < streams; i++ {
				go func() { failed <- oneEcho(open, payload, write, p.full) }()
			}
			var all error
			for i := 0; i < streams; i++ {
				all = errors.Join(all, <-failed)
			}
			return all
		}
		if payload*streams >= 512<<20 {
			p.warmUp = 0
		}
		o, err := both(p, 1, uint64(payload*streams), round)
		if err == nil {
			o.Ops *= uint64(streams)
		}
		return o, err
	}
}

func oneEcho(open opener, payload, write int, full bool) error {
	s, err := open()
	if err != nil {
		return err
	}
	defer s.Close()
	sent := make(chan error, 1)
	send := func() {
		for at := 0; at < payload; {
			size := min(write, payload-at)
			if _, err := s.Write(pattern(uint64(at), size)); err != nil {
				sent <- err
				return
			}
			at += size
		}
		sent <- nil
	}
	if payload <= 16<<10 {
		send()
	} else {
		go send()
	}
	check := check{full: full}
	buffer := make([]byte, max(64, min(payload, readSize)))
	for check.seen < uint64(payload) {
		n, err := s.Read(buffer)
		if err != nil {
			return errors.Join(err, fmt.Errorf("%d of %d bytes came back", check.seen, payload))
		}
		if err := check.piece(buffer[:n]); err != nil {
			return err
		}
	}
	return <-sent
}

// sink reads to the end of a stream and counts.
func sink(s stream, arrived *atomic.Uint64, full bool, begun []byte) error {
	check := check{full: full}
	buffer := make([]byte, readSize)
	for piece := begun; ; {
		if err := check.piece(piece); err != nil {
			return err
		}
		arrived.Add(uint64(len(piece)))
		n, err := s.Read(buffer)
		if err != nil {
			return nil
		}
		piece = buffer[:n]
	}
}

// pour sends until the time is over or the flag is set.
func pour(s stream, write int, over func() bool) (uint64, error) {
	sent := uint64(0)
	for !over() {
		// The clock is read every 64 KiB, so that it does not slow down small writes.
		for i := 0; i < max(1, readSize/write); i++ {
			if _, err := s.Write(pattern(sent, write)); err != nil {
				return sent, err
			}
			sent += uint64(write)
		}
	}
	return sent, nil
}

func bulk(streams, write int) work {
	return func(open opener, accept acceptor, p plan) (*outcome, error) {
		var arrived atomic.Uint64
		go serve(accept, func(s stream) error { return sink(s, &arrived, p.full, nil) })
		once := func(span time.Duration) (uint64, error) {
			before, until := arrived.Load(), time.Now().Add(span)
			sent, failed := make(chan uint64, streams), make(chan error, streams)
			for i := 0; i < streams; i++ {
				go func() {
					s, err := open()
					if err != nil {
						sent <- 0
						failed <- err
						return
					}
					n, err := pour(s, write, func() bool { return !time.Now().Before(until) })
					sent <- n
					failed <- errors.Join(err, s.Close())
				}()
			}
			total, all := uint64(0), error(nil)
			for i := 0; i < streams; i++ {
				total, all = total+<-sent, errors.Join(all, <-failed)
			}
			// Both ends are in this process: there is no need for an answer.
			for patience := time.Now().Add(5 * time.Second); arrived.Load()-before < total; {
				if all != nil || time.Now().After(patience) {
					return 0, errors.Join(all, fmt.Errorf("%d of %d bytes have arrived", arrived.Load()-before, total))
				}
				time.Sleep(20 * time.Microsecond)
			}
			return total, all
		}
		if _, err := once(p.warmUp); err != nil {
			return nil, err
		}
		meter := startMeter()
		bytes, err := once(p.time)
		return &outcome{Ops: bytes / uint64(write), Bytes: bytes, Usage: meter.stop()}, err
	}
}

// beside times small messages while other streams carry bulk.
func beside(requests bool, streams int) work {
	return func(open opener, accept acceptor, p plan) (*outcome, error) {
		var arrived atomic.Uint64
		go serve(accept, func(s stream) error {
			buffer := make([]byte, messageSize)
			n, err := s.Read(buffer)
			if err != nil {
				return err
			}
			if buffer[0] == hold {
				return sink(s, &arrived, p.full, buffer[1:n])
			}
			if _, err := s.Write(buffer[:n]); err != nil {
				return err
			}
			return sendBack(messageSize)(s)
		})
		for i := 0; i < streams; i++ {
			s, err := open()
			if err != nil {
				return nil, err
			}
			if _, err := s.Write([]byte{hold}); err != nil {
				return nil, err
			}
			go pour(s, 64<<10, func() bool { return false })
		}
		operation := func(number uint64) error {
			sent := message(number)
			// The first byte tells the server what it is for.
			if sent[0] == hold {
				sent = message(0)
			}
			return oneRequest(open, sent)
		}
		if !requests {
			s, err := open()
			if err != nil {
				return nil, err
			}
			buffer := make([]byte, messageSize)
			operation = func(number uint64) error { return exchange(s, pattern(number*8, 8), buffer) }
		}
		if _, err := phase(p.warmUp, 1, operation); err != nil {
			return nil, err
		}
		before, meter := arrived.Load(), startMeter()
		times, err := phase(p.time, 1, operation)
		usage, bytes := meter.stop(), arrived.Load()-before
		return &outcome{
			Ops: uint64(len(times)), Bytes: bytes, Usage: usage, Latency: percentiles(times),
			Also: map[string]float64{"bulk MB/s": float64(bytes) / usage.Wall / 1e6},
		}, err
	}
}
