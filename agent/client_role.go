package agent

import (
	"context"
	"errors"

	"github.com/steppe-project/steppe/agent/rpc"
)

type clientRole struct{}

func (a *Agent) newClient() error                   { return errors.New("not yet") }
func (c *clientRole) run(ctx context.Context) error { return nil }
func (c *clientRole) NodeID() string                { return "" }
func (c *clientRole) HasAlloc(string) bool          { return false }
func (c *clientRole) Caller() rpc.Caller            { return nil }
func (c *clientRole) stopTasks()                    {}
