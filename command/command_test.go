package command

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/steppe-project/steppe/command/base"
)

func invoke(args ...string) (code int, out, talk string) {
	var o, e bytes.Buffer
	code = Run(args, strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

// Every command explains itself, and its example is one that it takes.
func TestEveryCommandExplainsItself(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Tree() {
		if seen[c.Name] {
			t.Errorf("%s is there twice", c.Name)
		}
		seen[c.Name] = true
		if c.Synopsis == "" || strings.HasSuffix(c.Synopsis, ".") || c.Long == "" || c.Example == "" || c.New == nil {
			t.Errorf("%s: a synopsis without a full stop, a paragraph and an example are missing", c.Name)
		}
		if len(strings.Fields(c.Name)) > mostWords {
			t.Errorf("%s has more than %d words", c.Name, mostWords)
		}
		if (c.MaxArgs == 0) != (c.Args == "") {
			t.Errorf("%s takes %d arguments, and says %q", c.Name, c.MaxArgs, c.Args)
		}
		fs := flag.NewFlagSet("", flag.ContinueOnError)
		c.New().Flags(fs)
		fs.VisitAll(func(f *flag.Flag) {
			if !strings.HasSuffix(f.Usage, ".") {
				t.Errorf("%s: -%s is not explained by a sentence", c.Name, f.Name)
			}
		})
		code, out, talk := invoke(append(strings.Fields(c.Name), "-help")...)
		if code != 0 || talk != "" || !strings.HasPrefix(out, "Usage: steppe "+c.Name) {
			t.Errorf("%s -help: exit %d, %q", c.Name, code, talk)
		}
		if _, again, _ := invoke(append([]string{"help"}, strings.Fields(c.Name)...)...); again != out {
			t.Errorf("help %s is not %s -help", c.Name, c.Name)
		}
		for _, line := range strings.Split(c.Example, "\n") {
			for _, part := range regexp.MustCompile(`\||&&|<\(|\)`).Split(line, -1) {
				if args := words(part); len(args) > 0 && args[0] == "steppe" {
					accepted(t, args[1:])
				}
			}
		}
	}
}

// words splits a command line at blanks, but not within quotes.
func words(line string) []string {
	var out []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			out = append(out, part)
			continue
		}
		out = append(out, strings.Fields(part)...)
	}
	return out
}

// accepted checks that there is such a command with such options, and that it
// takes as many arguments.
func accepted(t *testing.T, args []string) {
	t.Helper()
	c, rest := find(Tree(), args)
	if c == nil {
		t.Errorf("steppe %s: no such command", strings.Join(args, " "))
		return
	}
	// An unknown option is found first, then too few and too many arguments.
	probe := *c
	var o, e bytes.Buffer
	probe.New = func() base.Runner { return silent{c.New()} }
	if code := probe.Run(rest, strings.NewReader(""), &o, &e); code != 0 {
		t.Errorf("steppe %s: %s", strings.Join(args, " "), e.String())
	}
}

// silent has a command's options and does nothing.
type silent struct{ base.Runner }

func (silent) Run(context.Context, *base.IO, []string) error { return nil }

func TestUnknownOptionsAreRefusedEverywhere(t *testing.T) {
	for _, c := range Tree() {
		code, out, talk := invoke(append(strings.Fields(c.Name), "-no-such-option")...)
		if code != cmp.Or(c.Fault, base.ExitError) || out != "" || !strings.Contains(talk, "No such option: -no-such-option") {
			t.Errorf("%s: exit %d, out %q, talk %q", c.Name, code, out, talk)
		}
	}
}

func TestTheWayToACommand(t *testing.T) {
	for _, c := range []struct {
		line, out, talk string
		code            int
	}{
		{"", "", "Usage: steppe COMMAND", base.ExitUnknown},
		{"help", "Usage: steppe COMMAND", "", base.ExitOK},
		{"-help", "Usage: steppe COMMAND", "", base.ExitOK},
		{"-h", "Usage: steppe COMMAND", "", base.ExitOK},
		{"--help", "Usage: steppe COMMAND", "", base.ExitOK},
		{"--help job run", "Usage: steppe job run", "", base.ExitOK},
		{"version", "Steppe v", "", base.ExitOK},
		{"-version", "Steppe v", "", base.ExitOK},
		{"--version", "Steppe v", "", base.ExitOK},
		{"-v", "Steppe v", "", base.ExitOK},
		{"help exit-codes", "Exit codes:", "", base.ExitOK},
		{"job", "", "Usage: steppe job COMMAND", base.ExitUnknown},
		{"job -json", "", "Options come after the command: steppe job COMMAND -json", base.ExitUnknown},
		{"version -json", "{\n    \"BuildDate\"", "", base.ExitOK},
		{"event stream -topic Jbo", "", "Error: no topic \"Jbo\" (did you mean Job?)", base.ExitError},
		{"job -help", "Usage: steppe job COMMAND", "", base.ExitOK},
		{"help job", "Usage: steppe job COMMAND", "", base.ExitOK},
		{"operator raft --help", "Usage: steppe operator raft COMMAND", "", base.ExitOK},
		{"jbo", "", "No such command: steppe jbo (did you mean steppe job?)\nFor a list: steppe help\n", base.ExitUnknown},
		{"job rnu x.hcl", "", "No such command: steppe job rnu (did you mean steppe job run?)\nFor a list: steppe help job\n", base.ExitUnknown},
		{"rn x.hcl -detach", "", "No such command: steppe rn (did you mean steppe run?)", base.ExitUnknown},
		{"operator snapshto save x", "", "No such command: steppe operator snapshto (did you mean steppe operator snapshot?)", base.ExitUnknown},
		{"xyzzyplugh", "", "No such command: steppe xyzzyplugh\nFor a list", base.ExitUnknown},
		{"help xyzzyplugh", "", "No such command: steppe xyzzyplugh\n", base.ExitUnknown},
		{"-address=x status", "", "Options come after the command: steppe COMMAND -address=x", base.ExitUnknown},
		{"evil\x1b[2J", "", `No such command: steppe evil\x1b[2J`, base.ExitUnknown},
	} {
		code, out, talk := invoke(strings.Split(c.line, " ")...)
		if c.line == "" {
			code, out, talk = invoke()
		}
		if code != c.code || !strings.HasPrefix(out, c.out) || !strings.HasPrefix(talk, c.talk) || (c.out == "") != (out == "") || (c.talk == "") != (talk == "") {
			t.Errorf("%q: exit %d, out %q, talk %q", c.line, code, out, talk)
		}
	}
}

// The bash script is run by a bash.
func TestCompletionInBash(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	code, script, talk := invoke("completion", "bash")
	if code != 0 {
		t.Fatal(talk)
	}
	path := filepath.Join(t.TempDir(), "completion.bash")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ line, has, hasNot string }{
		{"steppe ", "job", "-detach"},
		{"steppe jo", "job", "run"},
		{"steppe job ", "run", "node"},
		{"steppe job ru", "run", "scale"},
		{"steppe job run -de", "-detach", "-var"},
		{"steppe job run -detach x.hcl -va", "-var-file", "-detach"},
		{"steppe operator raft ", "list-peers", "snapshot"},
		{"steppe completion ", "fish", "job"},
		{"steppe nonsense ", "", "job"},
	} {
		words := strings.Split(c.line, " ")
		cmd := exec.Command(bash, "-c", `source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _steppe; printf '%s\n' "${COMPREPLY[@]}"`, path)
		cmd.Args = append(cmd.Args, words...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v: %s", c.line, err, out)
		}
		got := strings.Fields(string(out))
		if c.has != "" && !slices.Contains(got, c.has) || slices.Contains(got, c.hasNot) {
			t.Errorf("%q: %q", c.line, got)
		}
	}
	for _, shell := range []string{"zsh", "fish"} {
		if code, out, _ := invoke("completion", shell); code != 0 || !strings.Contains(out, "list-peers") {
			t.Errorf("%s: exit %d", shell, code)
		}
	}
	if code, _, talk := invoke("completion", "tcsh"); code != base.ExitError || !strings.Contains(talk, "bash, zsh or fish") {
		t.Errorf("tcsh: exit %d, %q", code, talk)
	}
}
