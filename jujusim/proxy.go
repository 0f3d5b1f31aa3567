package jujusim

import (
	"errors"
	"net"
	"net/rpc"
	"sync"
)

// A proxy serves one run's hook tools on a socket.
type proxy struct {
	listener net.Listener
	client   *rpc.Client
	done     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{} // nil once closed
}

func (p *proxy) accept(server *rpc.Server) {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		if p.conns == nil {
			p.mu.Unlock()
			conn.Close()
			return
		}
		p.conns[conn] = struct{}{}
		p.mu.Unlock()
		p.done.Go(func() {
			server.ServeConn(conn)
			p.mu.Lock()
			delete(p.conns, conn)
			p.mu.Unlock()
		})
	}
}

func (p *proxy) close() error {
	if p == nil {
		return nil
	}
	err := p.listener.Close()
	p.mu.Lock()
	conns := p.conns
	p.conns = nil
	p.mu.Unlock()
	for conn := range conns {
		conn.Close()
	}
	err = errors.Join(err, p.client.Close())
	p.done.Wait()
	return err
}
