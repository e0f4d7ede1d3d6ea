package jobspec

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/steppe-project/steppe/model"
)

// Range is a place in a file; lines and columns count from 1, columns in
// characters. The end is exclusive.
type Range struct {
	Filename           string
	Line, Column       int
	EndLine, EndColumn int
	StartByte, EndByte int
}

// Positions leads from the path of a problem to its place in the job file.
type Positions struct {
	ranges  map[string]hcl.Range
	sources *sources
}

func (p Positions) set(path model.Path, at hcl.Range) { p.ranges[string(path)] = at }

// Find is the place of a path, or of the nearest block around it.
func (p Positions) Find(path string) (Range, bool) {
	at, ok := p.find(path)
	return Range{
		Filename: at.Filename, Line: at.Start.Line, Column: at.Start.Column, EndLine: at.End.Line, EndColumn: at.End.Column,
		StartByte: at.Start.Byte, EndByte: at.End.Byte,
	}, ok
}

// Has reports whether the file sets exactly this path.
func (p Positions) Has(path string) bool {
	_, ok := p.ranges[path]
	return ok
}

func (p Positions) find(path string) (hcl.Range, bool) {
	for path != "" {
		if at, ok := p.ranges[path]; ok {
			return at, true
		}
		path = path[:max(0, strings.LastIndexAny(path, ".[#"))]
	}
	return hcl.Range{}, false
}

// Annotate is one error (model.CodeInvalid) of all problems, each with its
// place, source line and marker, in the order of the file; nil without any.
func (p Positions) Annotate(problems []model.Problem) error {
	if len(problems) == 0 {
		return nil
	}
	d := &diagnostics{}
	for _, problem := range problems {
		at, ok := p.find(problem.Path)
		message := problem.Message
		if _, exact := p.ranges[problem.Path]; !exact || !ok {
			message = model.Problem{Path: problem.Path, Message: problem.Message}.String()
		} else if name := attributeOf(problem.Path); name != "" && !strings.Contains(message, name) {
			message = name + ": " + message
		}
		d.add(at, problem.Hint, "%s", message)
	}
	return d.err(p.sources)
}

// attributeOf is the last name of a path when it is an argument's.
func attributeOf(path string) string {
	name := path[strings.LastIndexByte(path, '.')+1:]
	if strings.ContainsAny(name, "[]#") {
		return ""
	}
	return name
}

// Paths are all paths with a place, sorted.
func (p Positions) Paths() []string {
	paths := make([]string, 0, len(p.ranges))
	for path := range p.ranges {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}
