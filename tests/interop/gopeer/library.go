// Package gopeer is an interop peer: a program that speaks muxado over TCP
// through a real Go implementation, serves a small application on the streams
// it accepts, drives the same application on its peer, and reports what it saw
// as lines of JSON.
package gopeer

import (
	"net"
	"time"
)

// Library is what a main package provides: the one adapter between this
// program and the muxado library it is built against.
type Library struct {
	// Name under which the library is known to the tests.
	Name string
	// Start begins a session on a connected transport.
	Start func(conn net.Conn, config Config) Session
	// ErrorCode gives the muxado error code the library attached to an error.
	ErrorCode func(error) uint32
}

// Config is what can be set on a session of either library.
type Config struct {
	Client    bool
	Typed     bool
	Window    uint32 // 0 for the library's default
	Backlog   uint32 // 0 for the library's default
	Heartbeat *Heartbeat
}

// Heartbeat asks for a heartbeat on a typed session.
type Heartbeat struct {
	Interval  time.Duration
	Tolerance time.Duration
	// OnBeat is called for every beat, with the round-trip time, and with
	// timeout set when none came in time.
	OnBeat func(rtt time.Duration, timeout bool)
}

// Session is the common surface of the libraries' sessions.
type Session interface {
	Open() (Stream, error)
	OpenTyped(streamType uint32) (Stream, error)
	// Accept returns the next stream and its type, which is 0 on a session
	// that is not typed.
	Accept() (Stream, uint32, error)
	GoAway(code uint32, debug []byte, deadline time.Time) error
	Close() error
	// Wait blocks until the session is over and returns the cause, the error
	// the peer sent in its GOAWAY and that frame's debug data.
	Wait() (cause, remote error, debug []byte)
}

// Stream is the part of the libraries' streams this program uses.
type Stream interface {
	Read([]byte) (int, error)
	Write([]byte) (int, error)
	CloseWrite() error
	Close() error
	Id() uint32
}
