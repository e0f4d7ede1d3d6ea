package agent

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/config"
)

// Parts stop in the opposite order of their start, each waited for.
func TestPartsStopInReverse(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var order []string
	started := make(chan struct{}, 3)
	mk := func(name string, err error) *part {
		return &part{name: name, run: func(ctx context.Context) error {
			started <- struct{}{}
			<-ctx.Done()
			order = append(order, name) // the next one ends only after this returned
			return err
		}}
	}
	done := make(chan error, 1)
	go func() {
		done <- runParts(ctx, slog.New(slog.DiscardHandler), []*part{mk("a", nil), mk("b", errors.New("ouch")), mk("c", nil)})
	}()
	for range 3 {
		<-started
	}
	cancel()
	err := <-done
	if strings.Join(order, " ") != "c b a" || err == nil || !strings.Contains(err.Error(), "b: ouch") {
		t.Fatalf("order %v, error %v", order, err)
	}
}

// A part that ends by itself ends the agent.
func TestAPartThatEndsEndsAll(t *testing.T) {
	err := runParts(t.Context(), slog.New(slog.DiscardHandler), []*part{
		{name: "long", run: func(ctx context.Context) error { <-ctx.Done(); return nil }},
		{name: "short", run: func(context.Context) error { return nil }},
	})
	if err == nil || !strings.Contains(err.Error(), "short: it ended by itself") {
		t.Fatal(err)
	}
}

func TestAddressesAreResolved(t *testing.T) {
	cfg := config.Default()
	cfg.BindAddr = "127.0.0.1"
	cfg.Addresses.HTTP = "127.0.0.2"
	cfg.Advertise.RPC = "10.1.2.3:7777"
	cfg.Advertise.Serf = "10.1.2.3"
	cfg.Advertise.WAN = "10.9.9.9"
	e, err := resolve(cfg)
	if err != nil {
		t.Fatal(err)
	}
	want := endpoints{
		http: endpoint{"127.0.0.2:4646", "127.0.0.2:4646"}, rpc: endpoint{"127.0.0.1:4647", "10.1.2.3:7777"},
		serf: endpoint{"127.0.0.1:4648", "10.1.2.3:4648"}, wan: endpoint{"127.0.0.1:4649", "10.9.9.9:4649"},
	}
	if e != want {
		t.Fatalf("%+v", e)
	}
	l, err := listen("http", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := listen("http", l.Addr().String()); err == nil || !strings.Contains(err.Error(), "another process uses the port") {
		t.Fatalf("a taken port: %v", err)
	}
	if got := withPort("1.2.3.4:0", l); !strings.HasPrefix(got, "1.2.3.4:") || got == "1.2.3.4:0" {
		t.Fatalf("chosen port: %s", got)
	}
}

// A reader of the log gets the lines of its level, with their attributes.
func TestMonitor(t *testing.T) {
	cfg := config.Default()
	cfg.LogLevel = "error"
	var out strings.Builder
	logs, err := NewLogs(cfg, &out)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	lines, err := logs.Monitor(ctx, "debug", false)
	if err != nil {
		t.Fatal(err)
	}
	log := logs.Logger().With("component", "x")
	log.Debug("seen by the reader only")
	if line := string(<-lines); !strings.Contains(line, "seen by the reader only") || !strings.Contains(line, "component=x") {
		t.Fatalf("line %q", line)
	}
	if out.Len() > 0 {
		t.Fatalf("the output got %q", out.String())
	}
	if _, err := logs.Monitor(ctx, "loud", false); err == nil {
		t.Fatal("an unknown level was taken")
	}
}
