package main

import (
	"net"
	"sync"
)

// table holds what is known of each open connection.
type table struct {
	mutex sync.Mutex
	held  map[net.Conn]*held
}

func newTable() *table { return &table{held: map[net.Conn]*held{}} }

func (t *table) put(conn net.Conn, h *held) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.held[conn] = h
}

func (t *table) take(conn net.Conn) *held {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	h := t.held[conn]
	delete(t.held, conn)
	return h
}
