package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/steppe-project/steppe/plugins"
	"github.com/tinylib/msgp/msgp"
)

// fake is a driver whose tasks are goroutines that act out a Program.
type fake struct {
	mu      sync.Mutex
	rotates bool
	tasks   map[string]*fakeTask
}

func newFake() plugins.Driver { return &fake{tasks: map[string]*fakeTask{}} }

// fakeTask is one task; exit is set before done is closed.
type fakeTask struct {
	config  *plugins.TaskConfig
	program Program
	started time.Time
	ended   time.Time
	signals chan string
	done    chan struct{}
	exit    plugins.ExitResult
}

// fakeState is what a handle carries.
type fakeState struct {
	Program Program
	Started time.Time
}

// fromMsgpack decodes a configuration by way of JSON.
func fromMsgpack(b []byte, v any) error {
	var text bytes.Buffer
	if _, err := msgp.UnmarshalAsJSON(&text, b); err != nil {
		return err
	}
	return json.Unmarshal(text.Bytes(), v)
}

func (f *fake) PluginInfo(context.Context) (*plugins.Info, error) {
	return &plugins.Info{Type: plugins.TypeDriver, Name: "fake", Version: "1.2.3", APIVersions: []string{plugins.APIVersion}}, nil
}

func (f *fake) ConfigSchema(context.Context) (*plugins.Spec, error) {
	return &plugins.Spec{Object: map[string]*plugins.Spec{
		"rotates": plugins.WithDefault(plugins.Attr("rotates", "bool", false), "true"),
	}}, nil
}

func (f *fake) SetConfig(_ context.Context, c *plugins.Config) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var config struct{ Rotates bool }
	if err := fromMsgpack(c.Msgpack, &config); err != nil {
		return err
	}
	f.rotates = config.Rotates
	return nil
}

func (f *fake) Capabilities(context.Context) (*plugins.Capabilities, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &plugins.Capabilities{SendSignals: true, Exec: true, RotatesLogs: f.rotates, NetModes: []plugins.NetMode{plugins.NetHost}}, nil
}

func (f *fake) TaskConfigSchema(context.Context) (*plugins.Spec, error) {
	return &plugins.Spec{Object: map[string]*plugins.Spec{"program": plugins.Attr("program", "string", true)}}, nil
}

func (f *fake) Fingerprint(ctx context.Context) (<-chan *plugins.Fingerprint, error) {
	ch := make(chan *plugins.Fingerprint, 1)
	ch <- &plugins.Fingerprint{Health: plugins.Healthy, Description: "Healthy", Attributes: map[string]plugins.Attribute{"driver.fake": {Bool: new(true)}}}
	context.AfterFunc(ctx, func() { close(ch) })
	return ch, nil
}

func (f *fake) TaskEvents(ctx context.Context) (<-chan *plugins.TaskEvent, error) {
	ch := make(chan *plugins.TaskEvent)
	context.AfterFunc(ctx, func() { close(ch) })
	return ch, nil
}

func (f *fake) get(id string) (*fakeTask, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.tasks[id]; t != nil {
		return t, nil
	}
	return nil, plugins.ErrTaskNotFound
}

func (f *fake) StartTask(ctx context.Context, c *plugins.TaskConfig) (*plugins.TaskHandle, *plugins.NetworkOverride, error) {
	var block struct{ Program string }
	if err := fromMsgpack(c.Msgpack, &block); err != nil {
		return nil, nil, err
	}
	state := fakeState{Started: time.Now()}
	if err := json.Unmarshal([]byte(block.Program), &state.Program); err != nil {
		return nil, nil, err
	}
	if state.Program.Missing {
		return nil, nil, errors.New("no such program")
	}
	encoded, err := json.Marshal(state)
	if err != nil {
		return nil, nil, err
	}
	if err := f.run(c, state, true); err != nil {
		return nil, nil, err
	}
	return &plugins.TaskHandle{Version: 1, Config: c, State: plugins.StateRunning, DriverState: encoded}, nil, nil
}

func (f *fake) RecoverTask(_ context.Context, h *plugins.TaskHandle) error {
	if h == nil || h.Config == nil {
		return errors.New("a handle without a task")
	}
	var state fakeState
	if err := json.Unmarshal(h.DriverState, &state); err != nil {
		return fmt.Errorf("not a handle of this driver: %w", err)
	}
	if _, err := f.get(h.Config.ID); err == nil {
		return nil
	}
	return f.run(h.Config, state, false)
}

// run acts a task out in a goroutine, which ends with the task.
func (f *fake) run(c *plugins.TaskConfig, s fakeState, fresh bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tasks[c.ID] != nil {
		return fmt.Errorf("task %s is there already", c.ID)
	}
	t := &fakeTask{config: c, program: s.Program, started: s.Started, signals: make(chan string, 8), done: make(chan struct{})}
	stdout, err := t.open("stdout", c.StdoutPath)
	if err != nil {
		return err
	}
	stderr, err := t.open("stderr", c.StderrPath)
	if err != nil {
		return err
	}
	p := t.program
	if fresh { // at once: a driver's end may follow its answer, and must not take the words with it
		say(stdout, p.Stdout)
		say(stderr, p.Stderr)
	}
	p.Stdout, p.Stderr = "", ""
	f.tasks[c.ID] = t
	go func() {
		defer close(t.done)
		defer stderr.Close()
		defer stdout.Close()
		p.RunFor -= time.Since(t.started)
		t.exit = act(context.Background(), p, c.Env, nil, stdout, stderr, false, t.signals)
		t.ended = time.Now()
	}()
	return nil
}

func (t *fakeTask) open(kind, fifo string) (*os.File, error) {
	if t.config.Logs == nil {
		return os.OpenFile(fifo, os.O_WRONLY, 0)
	}
	path := filepath.Join(t.config.Logs.Dir, t.config.Logs.Name+"."+kind+".0")
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
}

func say(w io.Writer, text string) {
	if w != nil && text != "" {
		_, _ = io.WriteString(w, text)
	}
}

// act does what p says until its end, a deadly signal, or the context's end.
func act(ctx context.Context, p Program, env map[string]string, in io.Reader, stdout, stderr io.Writer, tty bool, signals <-chan string) plugins.ExitResult {
	say(stdout, p.Stdout)
	say(stderr, p.Stderr)
	if p.Greet {
		say(stdout, env["GREETING"])
	}
	if p.Terminal {
		say(stdout, map[bool]string{true: "terminal\n", false: "no terminal\n"}[tty])
	}
	if p.Cat {
		_, _ = io.Copy(stdout, in)
	}
	end := time.NewTimer(p.RunFor)
	defer end.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-end.C:
			return plugins.ExitResult{ExitCode: p.ExitCode}
		case <-tick.C:
			if p.Child {
				say(stdout, "tick\n")
			}
		case s := <-signals:
			code, handled := p.OnSignal[s[len("SIG"):]]
			switch {
			case s == "SIGKILL" || !handled:
				return plugins.ExitResult{Signal: signalNumbers[s]}
			case code != Ignore:
				return plugins.ExitResult{ExitCode: code}
			}
		case <-ctx.Done():
			return plugins.ExitResult{Signal: int(syscall.SIGKILL)}
		}
	}
}

var signalNumbers = map[string]int{
	"SIGKILL": int(syscall.SIGKILL), "SIGTERM": int(syscall.SIGTERM), "SIGUSR1": int(syscall.SIGUSR1), "SIGINT": int(syscall.SIGINT),
}

func (f *fake) WaitTask(ctx context.Context, id string) (*plugins.ExitResult, error) {
	t, err := f.get(id)
	if err != nil {
		return nil, err
	}
	select {
	case <-t.done:
		return new(t.exit), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *fake) InspectTask(_ context.Context, id string) (*plugins.TaskStatus, error) {
	t, err := f.get(id)
	if err != nil {
		return nil, err
	}
	s := &plugins.TaskStatus{ID: id, Name: t.config.Name, State: plugins.StateRunning, StartedAt: t.started}
	select {
	case <-t.done:
		s.State, s.CompletedAt, s.Exit = plugins.StateExited, t.ended, new(t.exit)
	default:
	}
	return s, nil
}

func (f *fake) SignalTask(_ context.Context, id, signal string) error {
	t, err := f.get(id)
	if err != nil {
		return err
	}
	if signalNumbers[signal] == 0 {
		return fmt.Errorf("unknown signal %q", signal)
	}
	select {
	case t.signals <- signal:
	case <-t.done:
	}
	return nil
}

func (f *fake) StopTask(ctx context.Context, id string, timeout time.Duration, signal string) error {
	if signal == "" {
		signal = "SIGTERM"
	}
	t, err := f.get(id)
	if err != nil {
		return err
	}
	if err := f.SignalTask(ctx, id, signal); err != nil {
		return err
	}
	select {
	case <-t.done:
	case <-time.After(timeout):
		t.signals <- "SIGKILL"
		<-t.done
	}
	return nil
}

func (f *fake) DestroyTask(_ context.Context, id string, force bool) error {
	t, err := f.get(id)
	if err != nil {
		return err
	}
	select {
	case <-t.done:
	default:
		if !force {
			return errors.New("the task is running")
		}
		t.signals <- "SIGKILL"
		<-t.done
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.tasks, id)
	return nil
}

func (f *fake) TaskStats(ctx context.Context, id string, interval time.Duration) (<-chan *plugins.TaskUsage, error) {
	t, err := f.get(id)
	if err != nil {
		return nil, err
	}
	ch := make(chan *plugins.TaskUsage)
	go func() {
		defer close(ch)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			u := &plugins.TaskUsage{Timestamp: time.Now(), Total: plugins.Usage{Memory: plugins.MemoryUsage{RSS: 1, Measured: []string{plugins.MeasuredRSS}}}}
			select {
			case ch <- u:
			case <-t.done:
				return
			case <-ctx.Done():
				return
			}
			select {
			case <-tick.C:
			case <-t.done:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return ch, nil
}

func (f *fake) ExecTask(ctx context.Context, id string, command []string, timeout time.Duration) (*plugins.ExecResult, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	exit, err := f.ExecTaskStreaming(ctx, id, &plugins.ExecOptions{Command: command, Stdout: &stdout, Stderr: &stderr})
	if err != nil {
		return nil, err
	}
	return &plugins.ExecResult{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), Exit: *exit}, nil
}

func (f *fake) ExecTaskStreaming(ctx context.Context, id string, opts *plugins.ExecOptions) (*plugins.ExitResult, error) {
	t, err := f.get(id)
	if err != nil {
		return nil, err
	}
	if len(opts.Command) == 0 {
		return nil, errors.New("no command")
	}
	var p Program
	if err := json.Unmarshal([]byte(opts.Command[0]), &p); err != nil {
		return nil, fmt.Errorf("no such program: %s", opts.Command[0])
	}
	exit := act(ctx, p, t.config.Env, opts.Stdin, opts.Stdout, opts.Stderr, opts.TTY, nil)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return &exit, nil
}
