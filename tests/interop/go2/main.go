// Command go2 is the interop peer on golang.ngrok.com/muxado/v2.
package main

import (
	"net"
	"time"

	"golang.ngrok.com/muxado/v2"
	"muxado.test/gopeer"
)

func main() {
	gopeer.Main(gopeer.Library{Name: "go2", Start: start, ErrorCode: errorCode})
}

func errorCode(err error) uint32 {
	code, _ := muxado.GetError(err)
	return uint32(code)
}

// goAway is implemented by the library's session but missing from its
// interface.
type goAway interface {
	GoAway(muxado.ErrorCode, []byte, time.Time) error
}

type session struct {
	muxado.Session
	plain goAway
	typed muxado.TypedStreamSession
}

func start(conn net.Conn, config gopeer.Config) gopeer.Session {
	muxadoConfig := &muxado.Config{MaxWindowSize: config.Window, AcceptBacklog: config.Backlog}
	create := muxado.Server
	if config.Client {
		create = muxado.Client
	}
	plain := create(conn, muxadoConfig)
	s := &session{Session: plain, plain: plain.(goAway)}
	if config.Typed {
		s.typed = muxado.NewTypedStreamSession(plain)
		s.Session = s.typed
	}
	if beat := config.Heartbeat; beat != nil {
		heartbeatConfig := muxado.NewHeartbeatConfig()
		heartbeatConfig.Interval, heartbeatConfig.Tolerance = beat.Interval, beat.Tolerance
		heartbeat := muxado.NewHeartbeat(s.typed, beat.OnBeat, heartbeatConfig)
		heartbeat.Start()
		s.typed, s.Session = heartbeat, heartbeat
	}
	return s
}

func (s *session) Open() (gopeer.Stream, error) { return s.Session.OpenStream() }

func (s *session) OpenTyped(streamType uint32) (gopeer.Stream, error) {
	return s.typed.OpenTypedStream(muxado.StreamType(streamType))
}

func (s *session) Accept() (gopeer.Stream, uint32, error) {
	if s.typed == nil {
		stream, err := s.Session.AcceptStream()
		return stream, 0, err
	}
	stream, err := s.typed.AcceptTypedStream()
	if err != nil {
		return nil, 0, err
	}
	return stream, uint32(stream.StreamType()), nil
}

func (s *session) GoAway(code uint32, debug []byte, deadline time.Time) error {
	return s.plain.GoAway(muxado.ErrorCode(code), debug, deadline)
}

// Beat asks for a heartbeat now; the session must have been started with one.
func (s *session) Beat() (time.Duration, bool) {
	return s.Session.(*muxado.Heartbeat).Beat()
}
