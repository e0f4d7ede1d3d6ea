package base

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/steppe-project/steppe/model"
)

// probe is a command that notes what it got.
type probe struct {
	DataOptions
	follow bool
	n      int
	names  Strings
	args   []string
	run    func(context.Context, *IO) error
}

func (p *probe) Flags(fs *flag.FlagSet) {
	p.DataFlags(fs)
	fs.BoolVar(&p.follow, "follow", false, "Follow.")
	fs.IntVar(&p.n, "n", 5, "This `number`.")
	fs.Var(&p.names, "name", "A `name`.")
}

func (p *probe) Run(ctx context.Context, o *IO, args []string) error {
	p.args = args
	if p.run != nil {
		return p.run(ctx, o)
	}
	return nil
}

func command(p *probe) *Command {
	return &Command{
		Name: "job probe", Synopsis: "Probe", Args: "A [B]", MinArgs: 1, MaxArgs: 2, Offline: true,
		Long: "A paragraph.", Example: "steppe job probe a", New: func() Runner { return p },
	}
}

// invoke runs a command line against an address.
func invoke(c *Command, args ...string) (code int, out, talk string) {
	var o, e bytes.Buffer
	code = c.Run(args, strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

func TestOptionsMayStandAnywhere(t *testing.T) {
	for _, line := range []string{
		"-follow -n 3 -name x -name y a b", "a -follow b --n=3 --name x -name=y", "a b -name x -name y -n 3 --follow",
		"-name x -name y -n 3 -follow -- a b", "a -name x -name y -follow=true -n=3 -- b",
	} {
		p := &probe{}
		if code, _, talk := invoke(command(p), strings.Fields(line)...); code != 0 {
			t.Errorf("%s: exit %d: %s", line, code, talk)
			continue
		}
		if !p.follow || p.n != 3 || strings.Join(p.names, "") != "xy" || strings.Join(p.args, " ") != "a b" {
			t.Errorf("%s: got %+v", line, p)
		}
	}
	p := &probe{}
	invoke(command(p), "--", "-n", "-follow")
	if strings.Join(p.args, " ") != "-n -follow" || p.follow {
		t.Errorf("after --: %+v", p)
	}
}

func TestFaultsOfTheCommandLine(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"", "Too few arguments: job probe takes A [B]."},
		{"a b c", `Too many arguments: job probe takes A [B], not ["a" "b" "c"].`},
		{"-folow a", "No such option: -folow (did you mean -follow?)"},
		{"--follo a", "No such option: -follo (did you mean -follow?)"},
		{"a -zzzzzz", "No such option: -zzzzzz\n"},
		{"a -n", "Option -n needs a value."},
		{"a -n x", `invalid value "x" for flag -n`},
	} {
		code, out, talk := invoke(command(&probe{}), strings.Fields(c.line)...)
		if code != ExitError || !strings.Contains(talk, c.want) || !strings.Contains(talk, "For help: steppe job probe -help") || out != "" {
			t.Errorf("%q: exit %d, out %q, talk %q; want %q", c.line, code, out, talk, c.want)
		}
	}
}

func TestHelpGoesToStdout(t *testing.T) {
	for _, opt := range []string{"-h", "-help", "--help"} {
		code, out, talk := invoke(command(&probe{}), "a", opt)
		if code != 0 || talk != "" {
			t.Fatalf("%s: exit %d, talk %q", opt, code, talk)
		}
		for _, want := range []string{
			"Usage: steppe job probe [options] A [B]", "A paragraph.", "    steppe job probe a", "-n=<number>\n      This number. Default: 5.",
			"Options of all commands:", "-no-color",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in:\n%s", opt, want, out)
			}
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		talk string
	}{
		{nil, ExitOK, ""},
		{errors.New("broken"), ExitError, "Error: broken\n"},
		{&Exit{ExitPlacement, ""}, ExitPlacement, ""},
		{&Exit{ExitError, "said once"}, ExitError, "said once\n"},
		{context.Canceled, ExitInterrupt, ""},
		{model.Errorf(model.CodeNotFound, "no job"), ExitError, "Error: no job\n"},
	} {
		code, _, talk := invoke(command(&probe{run: func(context.Context, *IO) error { return c.err }}), "a")
		if code != c.code || talk != c.talk {
			t.Errorf("%v: exit %d, talk %q", c.err, code, talk)
		}
	}
}

func TestAnAgentThatIsNotThere(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	c := command(&probe{run: func(ctx context.Context, o *IO) error {
		_, err := o.Job(ctx, "x")
		return err
	}})
	c.Offline = false
	code, _, talk := invoke(c, "a", "-address", srv.URL)
	if code != ExitError || !strings.Contains(talk, "no agent answers at "+srv.URL) || !strings.Contains(talk, "steppe agent -dev") ||
		strings.Contains(talk, "/v1/") {
		t.Errorf("exit %d, talk %q", code, talk)
	}
	if code, _, talk := invoke(c, "a", "-address", "ftp://x"); code != ExitError || !strings.Contains(talk, "not http, https or unix") {
		t.Errorf("exit %d, talk %q", code, talk)
	}
}

func TestData(t *testing.T) {
	value := map[string]string{"Name": "a<b"}
	for _, c := range []struct {
		opts      DataOptions
		out, talk string
	}{
		{DataOptions{JSON: true}, "{\n    \"Name\": \"a<b\"\n}\n", ""},
		{DataOptions{Template: "{{.Name}}"}, "a<b\n", ""},
		{DataOptions{Template: "{{.Name}}\n"}, "a<b\n", ""},
		{DataOptions{Template: "{{.Name"}, "", "template: "},
		{DataOptions{Template: "{{.Name.X}}"}, "", "template: "},
		{DataOptions{JSON: true, Template: "x"}, "", "-json and -t exclude each other"},
		{DataOptions{}, "own form\n", ""},
	} {
		code, out, talk := invoke(command(&probe{run: func(_ context.Context, o *IO) error {
			if done, err := o.Data(c.opts, value); done {
				return err
			}
			o.Print("own form")
			return nil
		}}), "a")
		if out != c.out || !strings.Contains(talk, c.talk) || (code == 0) != (c.talk == "") {
			t.Errorf("%+v: exit %d, out %q, talk %q", c.opts, code, out, talk)
		}
	}
}

func TestNoEscapesWithoutATerminal(t *testing.T) {
	_, out, talk := invoke(command(&probe{run: func(_ context.Context, o *IO) error {
		o.Title("title\x1b[2J")
		o.Fields("A", "x\x1by", "Long", "z")
		o.Table([]string{"H", "I"}, [][]string{{"a\nb", "\x07"}})
		o.Say("%s", o.Paint(Red, "red"))
		return errors.New("end")
	}}), "a")
	if strings.Contains(out+talk, "\x1b") || strings.Contains(out, "\x07") {
		t.Errorf("escapes in %q %q", out, talk)
	}
	if want := "\ntitle\\x1b[2J\nA    = x\\x1by\nLong = z\nH       I\na\\x0ab  \\x07\n"; out != want {
		t.Errorf("got  %q\nwant %q", out, want)
	}
}
