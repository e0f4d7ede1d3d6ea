package operator

import (
	"context"
	"flag"
	"io"
	"os"
	"strings"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
)

// API is "operator api".
var API = &base.Command{
	Name: "operator api", Synopsis: "Send a request to the HTTP API and print the answer", Args: "PATH", MinArgs: 1, MaxArgs: 1,
	Long:    "PATH is like /v1/jobs; an answer of status 400 or above is an error. The options of the client (-namespace, -token ...) apply.",
	Example: "steppe operator api -X PUT /v1/system/gc\nsteppe operator api '/v1/jobs?prefix=web'",
	New:     func() base.Runner { return &apiCmd{} },
}

type apiCmd struct {
	method, body, filter string
	verbose              bool
}

func (a *apiCmd) Flags(fs *flag.FlagSet) {
	fs.StringVar(&a.method, "X", "", "The `method`. Default: GET, or PUT with a body.")
	fs.StringVar(&a.body, "d", "", "The `body`; - is standard input, @name a file.")
	fs.StringVar(&a.filter, "filter", "", "Only what an `expression` selects.")
	fs.BoolVar(&a.verbose, "verbose", false, "Print the answer's headers to standard error.")
}

func (a *apiCmd) Run(ctx context.Context, o *base.IO, args []string) error {
	path := args[0]
	if !strings.HasPrefix(path, "/") {
		path = "/v1/" + strings.TrimPrefix(path, "v1/")
	}
	var body io.Reader
	switch {
	case a.body == "-":
		body = o.In
	case strings.HasPrefix(a.body, "@"):
		f, err := os.Open(a.body[1:])
		if err != nil {
			return err
		}
		defer f.Close()
		body = f
	case a.body != "":
		body = strings.NewReader(a.body)
	}
	method := strings.ToUpper(a.method)
	if method == "" {
		method = "GET"
		if body != nil {
			method = "PUT"
		}
	}
	resp, err := o.Client.Do(ctx, method, path, &api.Query{Filter: a.filter}, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if a.verbose {
		o.Say("%s", resp.Status)
		if err := resp.Header.Write(o.Err); err != nil {
			return err
		}
	}
	out := &ending{w: o.Out}
	if _, err := io.Copy(out, resp.Body); err != nil {
		return err
	}
	if out.last != '\n' && out.last != 0 {
		o.Print("")
	}
	return nil
}

// ending remembers the last byte written.
type ending struct {
	w    io.Writer
	last byte
}

func (e *ending) Write(p []byte) (int, error) {
	if len(p) > 0 {
		e.last = p[len(p)-1]
	}
	return e.w.Write(p)
}
