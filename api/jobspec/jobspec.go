package jobspec

import (
	"bytes"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/steppe-project/steppe/model"
)

// Options of Parse.
type Options struct {
	// Vars are name=value, as given with -var. They win over VarFiles, these
	// over Env, this over defaults.
	Vars []string
	// VarFiles are files of name = value, in the order given; HCL, or JSON
	// when they start with "{".
	VarFiles []Source
	// Env is the environment, as os.Environ gives it: STEPPE_VAR_name and
	// NOMAD_VAR_name set variables. nil = none.
	Env []string
	// AllowFS lets file() and its like read files, relative to the job file's
	// directory. Never for a file that came over the network.
	AllowFS bool
	// Strict makes a value for a variable that is not declared an error; else
	// it is a warning. (In Env such values are always passed over.)
	Strict bool
}

// Source is a text with the name that faults are reported under.
type Source struct {
	Name string
	Data []byte
}

// File is a parsed job file.
type File struct {
	// Job has its defaults, but is not yet canonical nor validated.
	Job *model.Job
	// Positions leads from the paths of problems to the file.
	Positions Positions
	// Warnings are what looks wrong and is not.
	Warnings []string
}

// Parse reads a job file, HCL or HCL-JSON. The error (model.CodeInvalid) tells
// all faults, each as file:line:col: message, the source line and a marker; the
// name is for them, and for relative paths where AllowFS ("" = input). Nothing
// is read but src, unless AllowFS.
func Parse(filename string, src []byte, opts Options) (*File, error) {
	if filename == "" {
		filename = "input"
	}
	s := &sources{text: map[string][]byte{filename: src}}
	for _, f := range opts.VarFiles {
		s.text[f.Name] = f.Data
	}
	e := &evaluator{diags: &diagnostics{}}
	vars := &variables{
		evaluator: e, sources: s, byName: map[string]*variable{}, functions: functions(opts.AllowFS, filepath.Dir(filename)),
	}
	body, ok := e.parse(Source{filename, src}, fileShape)
	if !ok {
		return nil, e.diags.err(s)
	}
	p := &parser{
		variables: vars,
		locals:    &locals{variables: vars, exprs: map[string]*hclsyntax.Attribute{}, values: map[string]cty.Value{}},
	}
	job := p.top(body)
	vars.given(opts)
	p.locals.vars = vars.check()
	ctx := p.locals.evaluate()
	if job == nil {
		return nil, e.diags.err(s)
	}
	d := &decoder{evaluator: e, positions: Positions{ranges: map[string]hcl.Range{}, sources: s}}
	built := p.job(d, job, ctx)
	if e.diags.failed() {
		return nil, e.diags.err(s)
	}
	return &File{Job: built, Positions: d.positions, Warnings: e.warnings}, nil
}

// parse makes the syntax tree of a text.
func (e *evaluator) parse(src Source, shape *jsonShape) (*hclsyntax.Body, bool) {
	if len(src.Data) > MaxSourceBytes {
		e.diags.add(hcl.Range{Filename: src.Name}, "", "the file is %d bytes long; at most %d are accepted", len(src.Data), MaxSourceBytes)
		return nil, false
	}
	if bytes.HasPrefix(bytes.TrimSpace(src.Data), []byte("{")) {
		return e.jsonBody(src, shape)
	}
	if !e.scan(src.Data, src.Name, hclsyntax.LexConfig) {
		return nil, false
	}
	file, diags := hclsyntax.ParseConfig(src.Data, src.Name, hcl.InitialPos)
	if diags.HasErrors() {
		e.diags.addHCL(diags)
		return nil, false
	}
	return file.Body.(*hclsyntax.Body), true
}

// parser reads the top of a file.
type parser struct {
	variables *variables
	locals    *locals
}

// top reads all blocks but the job, and returns that.
func (p *parser) top(body *hclsyntax.Body) *hclsyntax.Block {
	diags := p.variables.diags
	known := []string{"job", "variable", "variables", "locals"}
	for _, name := range sortedByPosition(body.Attributes) {
		a := body.Attributes[name]
		diags.add(a.NameRange, "at the top there are "+strings.Join(known, ", ")+" blocks only", "unknown argument %q", name)
	}
	var job *hclsyntax.Block
	for _, b := range body.Blocks {
		switch b.Type {
		case "variable":
			p.variables.declare(b)
		case "variables":
			p.variables.declareAll(b)
		case "locals":
			p.locals.collect(b)
		case "job":
			if job != nil {
				diags.add(header(b), "", "a file holds one job; the first is in line %d", job.TypeRange.Start.Line)
				continue
			}
			job = b
		default:
			diags.add(b.TypeRange, suggestion(b.Type, known), "unknown block %q", b.Type)
		}
	}
	if job == nil && !diags.failed() {
		diags.add(body.EndRange, `write job "name" { ... }`, "the file holds no job block")
	}
	return job
}

// job decodes the job block and builds the model from it.
func (p *parser) job(d *decoder, b *hclsyntax.Block, ctx *hcl.EvalContext) *model.Job {
	in := instance{typ: b.Type, labels: b.Labels, body: b.Body, ctx: ctx, at: header(b), typeAt: b.TypeRange}
	if !d.labelsFit(in, jobBlock()) {
		return nil
	}
	d.positions.set(model.JobPath, in.at)
	tree := d.block(in, jobBlock(), model.JobPath)
	if d.diags.failed() {
		return nil
	}
	arrange(tree)
	job, warnings, err := model.BuildJob(tree)
	if err != nil {
		d.diags.add(in.at, "", "%v", err)
		return nil
	}
	d.warnings = append(d.warnings, warnings...)
	return job
}

// arrange moves what job files may write in more than one place to where the
// model has it.
func arrange(tree map[string]any) {
	label := tree[keyLabel]
	delete(tree, keyLabel)
	for _, key := range []string{"ID", "Name"} {
		if tree[key] == nil {
			tree[key] = label
		}
	}
	groups, _ := tree["TaskGroups"].([]any)
	if tasks, ok := tree[keyTasks].([]any); ok {
		var own []any
		for _, t := range tasks {
			own = append(own, map[string]any{"Name": t.(map[string]any)["Name"], "Tasks": []any{t}})
		}
		groups = append(own, groups...)
	}
	delete(tree, keyTasks)
	for _, g := range groups {
		inherit(g.(map[string]any), tree)
	}
	delete(tree, keyVault)
	delete(tree, keySecret)
	if groups != nil {
		tree["TaskGroups"] = groups
	}
}

// inherit hands vault and secrets of the group, else of the job, to the tasks
// that have none of their own.
func inherit(group, job map[string]any) {
	tasks, _ := group["Tasks"].([]any)
	for inner, key := range map[string]string{keyVault: "Vault", keySecret: "Secrets"} {
		value := group[inner]
		if value == nil {
			value = job[inner]
		}
		delete(group, inner)
		if value == nil {
			continue
		}
		for _, t := range tasks {
			if task := t.(map[string]any); task[key] == nil {
				task[key] = value
			}
		}
	}
}

// ParseJSON reads the JSON form of a job as the API has it, bare or as
// {"Job": {...}}. Warnings name unknown fields.
func ParseJSON(data []byte) (*model.Job, []string, error) {
	if len(data) > model.MaxJobBytes {
		return nil, nil, model.Errorf(model.CodeInvalid, "the job is %d bytes long; at most %d are accepted", len(data), model.MaxJobBytes)
	}
	if _, deep := model.TooDeep(data); deep {
		return model.DecodeJob(data) // says where
	}
	var outer map[string]json.RawMessage
	if json.Unmarshal(data, &outer) != nil {
		return model.DecodeJob(data) // says what and where
	}
	inner, wrapped := outer["Job"]
	if !wrapped {
		return model.DecodeJob(data)
	}
	at := bytes.Index(data, inner)
	blank := bytes.Map(func(r rune) rune {
		if r == '\n' {
			return r
		}
		return ' '
	}, data[:at])
	job, warnings, err := model.DecodeJob(append(blank, inner...))
	for _, key := range slices.Sorted(maps.Keys(outer)) {
		if key != "Job" && string(outer[key]) != "null" {
			warnings = append(warnings, "unknown field "+key+" beside Job is ignored")
		}
	}
	return job, warnings, err
}
