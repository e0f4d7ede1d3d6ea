// Manual writes the reference pages that are facts of the code: a page for each
// noun of the command line, and the table of the HTTP routes. A test checks that
// what is in the repository is what the code says.
//
//	go generate ./internal/manual
package main

//go:generate go run . ../../website/docs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/agent/httpapi"
	"github.com/steppe-project/steppe/command"
	"github.com/steppe-project/steppe/command/base"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: manual DIRECTORY")
		os.Exit(1)
	}
	if err := write(os.Args[1], pages()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// write replaces the pages of dir by these; a page that is gone goes.
func write(dir string, all map[string]string) error {
	stale, err := filepath.Glob(filepath.Join(dir, "cli", "*.md"))
	if err != nil {
		return err
	}
	for _, path := range stale {
		if _, kept := all["cli/"+filepath.Base(path)]; kept {
			continue
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "cli"), 0o755); err != nil {
		return err
	}
	for name, text := range all {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

const generated = "<!-- Written by internal/manual from the code: change that, and run go generate. -->\n\n"

// pages are all reference pages by their path below website/docs.
func pages() map[string]string {
	all := map[string]string{"api.md": routes(), "cli/index.md": index()}
	for _, c := range command.Tree() {
		if c.Alias != "" {
			continue
		}
		name := page(c)
		if all[name] == "" {
			all[name] = generated + "# steppe " + noun(c) + "\n"
		}
		all[name] += "\n" + c.Markdown()
	}
	return all
}

func noun(c *base.Command) string {
	first, _, _ := strings.Cut(c.Name, " ")
	return first
}

func page(c *base.Command) string { return "cli/" + noun(c) + ".md" }

// index lists all commands, and what they have in common.
func index() string {
	var b strings.Builder
	b.WriteString(generated + "# The command line\n\n| command | what it does |\n|---|---|\n")
	var shared *base.Command
	for _, c := range command.Tree() {
		if c.Alias != "" {
			fmt.Fprintf(&b, "| `steppe %s` | the same as `steppe %s` |\n", c.Name, c.Alias)
			continue
		}
		if !c.Offline {
			shared = c
		}
		fmt.Fprintf(&b, "| [`steppe %s`](%s#%s) | %s |\n", c.Name, filepath.Base(page(c)), "steppe-"+strings.ReplaceAll(c.Name, " ", "-"), c.Synopsis)
	}
	b.WriteString("\nOptions may stand before, between and after the arguments, with one dash or two; `--` ends them. " +
		"Data is printed on standard output, everything else on standard error.\n")
	b.WriteString("\n## Options of all commands that ask an agent\n\n" + shared.SharedMarkdown())
	b.WriteString("\n## Exit codes\n\n```\n" + strings.TrimPrefix(command.ExitCodes, "Exit codes:\n\n") + "```\n")
	return b.String()
}

// routes is the table of the HTTP API.
func routes() string {
	var b strings.Builder
	b.WriteString(generated + "# The HTTP API\n\n" +
		"Shapes, headers and status codes are those of the Nomad API. Every agent answers every route; `?region=`, `?namespace=`, `?stale`, " +
		"`?index=` and `?wait=` (blocking), `?prefix=`, `?filter=`, `?per_page=` and `?next_token=` apply where they make sense.\n\n" +
		"| route | methods | what it does |\n|---|---|---|\n")
	table := httpapi.New(httpapi.Config{}).Routes()
	slices.SortStableFunc(table, func(a, b httpapi.Route) int { return strings.Compare(a.Path, b.Path) })
	for _, r := range table {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.Path, r.Verbs(), strings.ReplaceAll(r.Doc, "|", `\|`))
	}
	return b.String()
}
