package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// Work is a scripted workload.
type Work struct {
	// Name is also its column in the table.
	Name string
	// Run works on dir and says what it was acknowledged. An error is one that a
	// process of the product would have ended with.
	Run func(dir string, say func(format string, args ...any)) error
	// Look opens what a crash left, says what is there, and works on a little.
	Look func(dir string, say func(format string, args ...any)) error
	// Most, if not 0, is about how many faults of a kind are tried, chosen at random,
	// and one of each fault point at the least: the runs are long.
	Most int
	// Judge compares what was acknowledged with what is there.
	Judge func(said, seen []string) error
}

// Works are all workloads.
var Works = []*Work{Server, Migrate, Cluster, Client, Shim}

// What the process of a workload finds in its environment.
const (
	envWork = "STEPPE_CRASH_WORK"
	envDir  = "STEPPE_CRASH_DIR"
	envMode = "STEPPE_CRASH_MODE" // run, look
)

// exitRefused is the exit code of a process that ended with an error in words.
const exitRefused = 3

// Main takes over the process when it is to run a workload; a test's TestMain
// calls it.
func Main() {
	name := os.Getenv(envWork)
	if name == "" {
		return
	}
	for _, w := range Works {
		if w.Name == name {
			w.main(os.Getenv(envDir), os.Getenv(envMode))
		}
	}
	fmt.Fprintf(os.Stderr, "no workload %q\n", name)
	os.Exit(1)
}

func (w *Work) main(dir, mode string) {
	say := func(format string, args ...any) {
		if _, err := fmt.Fprintf(os.Stdout, format+"\n", args...); err != nil {
			os.Exit(1)
		}
	}
	do := w.Look
	if mode == "run" {
		do = w.Run
		if err := submit(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if err := do(dir, say); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitRefused)
	}
	os.Exit(0)
}

// command prepares the process of a workload.
func command(ctx context.Context, w *Work, dir, mode string) (cmd *exec.Cmd, out, text *bytes.Buffer) {
	out, text = new(bytes.Buffer), new(bytes.Buffer)
	cmd = exec.CommandContext(ctx, os.Args[0])
	// The watch wants no call to be interrupted.
	cmd.Env = append(os.Environ(), envWork+"="+w.Name, envDir+"="+dir, envMode+"="+mode, "GODEBUG=asyncpreemptoff=1")
	cmd.Stdout, cmd.Stderr = out, text
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) } // it hangs: where?
	cmd.WaitDelay = time.Second
	return cmd, out, text
}

// Refusal is the end of a fresh process that does not go on with what it found.
type Refusal struct{ Text string }

// Error implements error.
func (r *Refusal) Error() string { return r.Text }

// Look has a fresh process open dir and returns what it saw. A *Refusal is its
// refusal in words; any other error is a failure.
func Look(ctx context.Context, w *Work, dir string) ([]string, error) {
	cmd, out, text := command(ctx, w, dir, "look")
	err := cmd.Run()
	switch {
	case err == nil:
		return strings.Split(strings.TrimSpace(out.String()), "\n"), nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("a fresh process hangs: %s%s", lastLines(out.String()), lastLines(text.String()))
	case cmd.ProcessState.ExitCode() == exitRefused && clear(text.String()):
		return nil, &Refusal{strings.TrimSpace(text.String())}
	}
	return nil, fmt.Errorf("a fresh process ended with %w: %s%s", err, lastLines(out.String()), lastLines(text.String()))
}

// words are in every refusal that tells an operator what is the matter.
var words = regexp.MustCompile(`damaged|does not hold|no space left|disk is full|input/output error|is missing|are missing`)

// clear tells whether an error's text is one for operators, not a crash's.
func clear(text string) bool {
	return words.MatchString(text) && !strings.Contains(text, "goroutine ")
}

// Verdict is how one fault ended.
type Verdict string

// The verdicts that are good: what was acknowledged is there, or the server says
// that it is not.
const (
	Kept    Verdict = "kept"
	Refused Verdict = "refused"
)

// Weigh judges what a fault left.
func Weigh(w *Work, said, seen []string, err error) (Verdict, error) {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return Refused, nil
	}
	if err == nil {
		err = w.Judge(said, seen)
	}
	return Kept, err
}
