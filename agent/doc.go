// Package agent is the composition root: it reads a configuration, gives each
// role its parts, and runs them until the end. Nothing else knows everything.
//
//	a, err := agent.New(cfg, logs)
//	err = a.Run(ctx)   // nil after ctx ended and everything was stopped in order
package agent
