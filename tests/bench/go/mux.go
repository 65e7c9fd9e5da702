package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/hashicorp/yamux"
	"github.com/xtaci/smux"
	"golang.ngrok.com/muxado/v2"
)

// stream is what all of them have. Not all have a half-close, so no workload
// here needs one.
type stream = io.ReadWriteCloser

// opener opens a stream, acceptor waits for one.
type (
	opener   func() (stream, error)
	acceptor func() (stream, error)
)

// mux begins a session on both ends of a connection. All settings are the
// defaults.
type mux func(client, server net.Conn) (opener, acceptor, error)

var muxes = map[string]mux{
	"go-tcp": nil,
	"go-muxado": func(client, server net.Conn) (opener, acceptor, error) {
		near, far := muxado.Client(client, nil), muxado.Server(server, nil)
		return func() (stream, error) { return near.OpenStream() },
			func() (stream, error) { return far.AcceptStream() }, nil
	},
	"go-yamux": func(client, server net.Conn) (opener, acceptor, error) {
		config := yamux.DefaultConfig()
		config.LogOutput = io.Discard
		near, err := yamux.Client(client, config)
		if err != nil {
			return nil, nil, err
		}
		far, err := yamux.Server(server, config)
		return func() (stream, error) { return near.OpenStream() },
			func() (stream, error) { return far.AcceptStream() }, err
	},
	"go-smux": func(client, server net.Conn) (opener, acceptor, error) {
		near, err := smux.Client(client, nil)
		if err != nil {
			return nil, nil, err
		}
		far, err := smux.Server(server, nil)
		return func() (stream, error) { return near.OpenStream() },
			func() (stream, error) { return far.AcceptStream() }, err
	},
}

// control sets the congestion control of a socket. Accepted sockets inherit it.
func control(congestion string) func(string, string, syscall.RawConn) error {
	return func(_, _ string, conn syscall.RawConn) error {
		if congestion == "" {
			return nil
		}
		var failed error
		err := conn.Control(func(fd uintptr) {
			failed = syscall.SetsockoptString(int(fd), syscall.IPPROTO_TCP, syscall.TCP_CONGESTION, congestion)
		})
		if err != nil {
			return err
		}
		if failed != nil {
			return fmt.Errorf("congestion control %s: %w", congestion, failed)
		}
		return nil
	}
}

// pair begins a session over loopback; without a mux every stream is a
// connection.
func pair(mux mux, congestion string) (opener, acceptor, error) {
	config := net.ListenConfig{Control: control(congestion)}
	listener, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	dialer := net.Dialer{Control: control(congestion)}
	open := func() (net.Conn, error) { return dialer.Dial("tcp", listener.Addr().String()) }
	if mux == nil {
		return func() (stream, error) { return open() },
			func() (stream, error) { return listener.Accept() }, nil
	}
	client, err := open()
	if err != nil {
		return nil, nil, err
	}
	server, err := listener.Accept()
	if err != nil {
		return nil, nil, err
	}
	return mux(client, server)
}
