package rpc

import (
	"context"
	"fmt"
	"sync"
)

// Server is the table of handlers of one process.
type Server struct {
	mu       sync.RWMutex
	handlers map[string]*handler
}

// handler is one registered method; exactly one of unary and stream is set.
type handler struct {
	spec   Spec
	newReq func() Message
	unary  func(context.Context, Message) (Message, error)
	stream func(context.Context, Wire) error
}

func (s *Server) register(spec Spec, h *handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.handlers[spec.Name]; taken || spec.Name == "" {
		panic(fmt.Sprintf("rpc: method name %q is empty or taken", spec.Name))
	}
	s.handlers[spec.Name] = h
}
