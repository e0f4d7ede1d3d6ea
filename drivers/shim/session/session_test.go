package session

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	osexec "os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-project/steppe/plugins"
)

// plain runs a shell script as a child of the test.
type plain struct {
	cmd *osexec.Cmd
	err error
}

func script(text string) *plain { return &plain{cmd: osexec.Command("/bin/sh", "-c", text)} }

func (p *plain) StartPipes(_ context.Context, stdin, stdout, stderr *os.File) error {
	if p.err != nil {
		return p.err
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = stdin, stdout, stderr
	return p.cmd.Start()
}

func (p *plain) StartTerminal(context.Context) (*os.File, error) {
	master, slave, err := OpenTerminal()
	if err != nil {
		return nil, err
	}
	defer slave.Close()
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = slave, slave, slave
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	return master, p.cmd.Start()
}

func (p *plain) Wait() (plugins.ExitResult, error) {
	p.cmd.Wait()
	return plugins.ExitResult{ExitCode: p.cmd.ProcessState.ExitCode()}, nil
}

func (p *plain) Kill() error { return p.cmd.Process.Kill() }

func TestStream(t *testing.T) {
	big := strings.Repeat("0123456789", 100_000)
	var stdout, stderr bytes.Buffer
	e, err := Stream(t.Context(), script("cat; echo err >&2; exit 3"), &plugins.ExecOptions{Stdin: strings.NewReader(big), Stdout: &stdout, Stderr: &stderr})
	if err != nil || e.ExitCode != 3 || stdout.String() != big || stderr.String() != "err\n" {
		t.Errorf("%+v %v %d bytes %q", e, err, stdout.Len(), &stderr)
	}
}

// TestInputThatNeverEnds: a command that does not read it is not held up.
func TestInputThatNeverEnds(t *testing.T) {
	in, feed := io.Pipe()
	defer feed.Close()
	for _, tty := range []bool{false, true} {
		e, err := Stream(t.Context(), script("exit 4"), &plugins.ExecOptions{Stdin: in, TTY: tty})
		if err != nil || e.ExitCode != 4 {
			t.Errorf("%+v %v", e, err)
		}
	}
}

func TestBackgroundHolderOfOutput(t *testing.T) {
	began := time.Now()
	var stdout bytes.Buffer
	c := script("(sleep 100 & echo $!); exit 5")
	e, err := Stream(t.Context(), c, &plugins.ExecOptions{Stdout: &stdout})
	if err != nil || e.ExitCode != 5 || !strings.HasSuffix(stdout.String(), "\n") {
		t.Errorf("%+v %v %q", e, err, &stdout)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
	osexec.Command("kill", strings.TrimSpace(stdout.String())).Run()
}

// gone is a reader that has left.
type gone struct{}

func (gone) Write([]byte) (int, error) { return 0, errors.New("gone") }

func TestReaderThatLeft(t *testing.T) {
	e, err := Stream(t.Context(), script("head -c 1000000 /dev/zero; exit 6"), &plugins.ExecOptions{Stdout: gone{}})
	if err != nil || e.ExitCode != 6 {
		t.Errorf("%+v %v", e, err)
	}
}

func TestTerminal(t *testing.T) {
	var stdout bytes.Buffer
	sizes := make(chan plugins.TermSize)
	in, feed := io.Pipe()
	go func() {
		sizes <- plugins.TermSize{Height: 11, Width: 22}
		close(sizes)
		io.WriteString(feed, "go\n")
	}()
	e, err := Stream(t.Context(), script("read x; stty size; exit 7"), &plugins.ExecOptions{TTY: true, Stdin: in, Stdout: &stdout, Resize: sizes})
	if err != nil || e.ExitCode != 7 || !strings.Contains(stdout.String(), "11 22\r\n") {
		t.Errorf("%+v %v %q", e, err, &stdout)
	}
	feed.Close()
}

func TestCaptureTimeout(t *testing.T) {
	if _, err := Capture(t.Context(), script("exec sleep 100"), 20*time.Millisecond); err == nil || !strings.Contains(err.Error(), "longer than 20ms") {
		t.Error(err)
	}
	broken := script("")
	broken.err = errors.New("broken")
	if _, err := Capture(t.Context(), broken, 0); !errors.Is(err, broken.err) {
		t.Error(err)
	}
}
