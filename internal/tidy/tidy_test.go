// Package tidy holds the style of the house as a test: sizes of functions,
// files, packages and interfaces, package comments, documented exports. Sizes are
// a ratchet: what was larger when the rule came is listed in ratchet.txt with
// its size, and may only shrink.
package tidy

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// The limits (design: functions 70 lines, files 500, packages 3,000, interfaces 7).
const (
	maxFunc      = 70
	maxFile      = 500
	maxPackage   = 3000
	maxInterface = 7
)

const root = "../.."

func goFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && p != root || d.Name() == "node_modules" || d.Name() == "testdata" || d.Name() == "compat") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(p, ".go") && !strings.HasSuffix(p, "_gen.go") && !strings.HasSuffix(p, ".pb.go") {
			files = append(files, p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// measure returns every size over its limit, by name.
func measure(t *testing.T) map[string]int {
	over := map[string]int{}
	packages := map[string]int{}
	for _, path := range goFiles(t) {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		rel, _ := filepath.Rel(root, path)
		lines := fset.Position(f.End()).Line
		test := strings.HasSuffix(path, "_test.go")
		if !test {
			packages[filepath.Dir(rel)] += lines
		}
		if lines > maxFile && !test {
			over["file "+rel] = lines
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.FuncDecl:
				if l := span(fset, x); l > maxFunc && !test {
					over["func "+rel+" "+name(x)] = l
				}
			case *ast.TypeSpec:
				if i, ok := x.Type.(*ast.InterfaceType); ok && i.Methods.NumFields() > maxInterface {
					over["interface "+rel+" "+x.Name.Name] = i.Methods.NumFields()
				}
			}
			return true
		})
	}
	for p, lines := range packages {
		if lines > maxPackage {
			over["package "+p] = lines
		}
	}
	return over
}

func span(fset *token.FileSet, n ast.Node) int {
	return fset.Position(n.End()).Line - fset.Position(n.Pos()).Line + 1
}

func name(f *ast.FuncDecl) string {
	if f.Recv == nil || len(f.Recv.List) == 0 {
		return f.Name.Name
	}
	t := f.Recv.List[0].Type
	if s, ok := t.(*ast.StarExpr); ok {
		t = s.X
	}
	if i, ok := t.(*ast.IndexExpr); ok {
		t = i.X
	}
	return fmt.Sprintf("%v.%s", t, f.Name.Name)
}

func ratchet(t *testing.T) map[string]int {
	t.Helper()
	out := map[string]int{}
	f, err := os.Open("ratchet.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		n, err := strconv.Atoi(line[i+1:])
		if err != nil {
			t.Fatalf("ratchet.txt: %q", line)
		}
		out[line[:i]] = n
	}
	return out
}

func TestSizesOnlyShrink(t *testing.T) {
	over, kept := measure(t), ratchet(t)
	if os.Getenv("TIDY_WRITE") != "" {
		write(t, over)
		return
	}
	for what, n := range over {
		if limit, ok := kept[what]; !ok {
			t.Errorf("%s has %d lines (or methods): over the limit; split it", what, n)
		} else if n > limit {
			t.Errorf("%s grew from %d to %d: it may only shrink", what, limit, n)
		}
	}
	for what, n := range kept {
		if over[what] < n {
			t.Errorf("%s shrank below %d: lower it in ratchet.txt (TIDY_WRITE=1 go test ./internal/tidy)", what, n)
		}
	}
}

func write(t *testing.T, over map[string]int) {
	t.Helper()
	names := make([]string, 0, len(over))
	for w := range over {
		names = append(names, w)
	}
	sort.Strings(names)
	var b strings.Builder
	b.WriteString("# What is over a size limit, with its size. It may only shrink.\n")
	for _, w := range names {
		fmt.Fprintf(&b, "%s %d\n", w, over[w])
	}
	if err := os.WriteFile("ratchet.txt", []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestPackagesAndExportsAreDocumented(t *testing.T) {
	documented := map[string]bool{}
	for _, path := range goFiles(t) {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Dir(path)
		documented[dir] = documented[dir] || f.Doc != nil
		for _, d := range f.Decls {
			undocumented(t, fset, d)
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package %s has no package comment", dir)
		}
	}
}

func undocumented(t *testing.T, fset *token.FileSet, d ast.Decl) {
	switch x := d.(type) {
	case *ast.FuncDecl:
		if x.Name.IsExported() && x.Doc == nil && receiverExported(x) {
			t.Errorf("%s: %s has no comment", fset.Position(x.Pos()), name(x))
		}
	case *ast.GenDecl:
		if x.Doc != nil {
			return
		}
		for _, s := range x.Specs {
			if ts, ok := s.(*ast.TypeSpec); ok && ts.Name.IsExported() && ts.Doc == nil && ts.Comment == nil {
				t.Errorf("%s: %s has no comment", fset.Position(ts.Pos()), ts.Name.Name)
			}
		}
	}
}

func receiverExported(f *ast.FuncDecl) bool {
	if f.Recv == nil || len(f.Recv.List) == 0 {
		return true
	}
	n := name(f)
	return ast.IsExported(n[:strings.IndexByte(n, '.')])
}

// TestTopLevelHoldsOnlyTheHouse: design §1.
func TestTopLevelHoldsOnlyTheHouse(t *testing.T) {
	allowed := map[string]bool{}
	for _, n := range strings.Fields(`main.go go.mod go.sum GNUmakefile README.md ARCHITECTURE.md CONTRIBUTING.md CHANGELOG.md
		BUGS.md LICENSE .ci .git .gitignore examples internal model plugins sched fsm drivers api agent command sim website bench compat bin`) {
		allowed[n] = true
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !allowed[e.Name()] {
			t.Errorf("%s does not belong at the top", e.Name())
		}
	}
}
