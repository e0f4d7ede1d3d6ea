package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// part is one thing that runs for the agent's whole life. Parts are started in
// order and stopped in the opposite order, each waited for before the next.
type part struct {
	name string
	run  func(ctx context.Context) error
	// slow is how long its end may take before that is logged; the end is
	// waited for all the same.
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// slowStop is when the log says that a part takes its time to end.
const slowStop = 5 * time.Second

// runParts runs all until ctx ends or one of them does, and returns why.
func runParts(ctx context.Context, log *slog.Logger, parts []*part) error {
	ended := make(chan *part, len(parts))
	for _, p := range parts {
		var own context.Context
		own, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
		p.done = make(chan struct{})
		go func() {
			defer close(p.done)
			p.err = p.run(own)
			ended <- p
		}()
	}
	var errs []error
	select {
	case <-ctx.Done():
	case p := <-ended:
		if p.err == nil {
			p.err = errors.New("it ended by itself")
		}
		log.Error("a part of the agent has ended", "part", p.name, "error", p.err)
	}
	for i := len(parts) - 1; i >= 0; i-- {
		p := parts[i]
		p.cancel()
		waitEnd(log, p)
		if p.err != nil && !errors.Is(p.err, context.Canceled) {
			errs = append(errs, fmt.Errorf("%s: %w", p.name, p.err))
		}
	}
	return errors.Join(errs...)
}

func waitEnd(log *slog.Logger, p *part) {
	t := time.NewTimer(slowStop)
	defer t.Stop()
	select {
	case <-p.done:
		return
	case <-t.C:
		log.Warn("still waiting for a part to end", "part", p.name)
	}
	<-p.done
}
