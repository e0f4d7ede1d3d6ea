package jobspec

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
)

// Prefixes of environment variables that set a variable; the first wins.
var envPrefixes = []string{"STEPPE_VAR_", "NOMAD_VAR_"}

// variable is one declared variable with its value.
type variable struct {
	name       string
	typ        cty.Type // cty.DynamicPseudoType = any
	defaults   *typeexpr.Defaults
	value      cty.Value // cty.NilVal = none yet
	validation []*hclsyntax.Block
	at         hcl.Range
}

// variables evaluates declarations, values and locals of a file.
type variables struct {
	*evaluator
	sources   *sources
	functions map[string]function.Function
	byName    map[string]*variable
}

func (v *variables) context() *hcl.EvalContext { return &hcl.EvalContext{Functions: v.functions} }

// declare reads a variable block.
func (v *variables) declare(b *hclsyntax.Block) {
	if len(b.Labels) != 1 || !hclsyntax.ValidIdentifier(b.Labels[0]) {
		v.diags.add(header(b), `write variable "name" { ... }`, "a variable needs a name of letters, digits, - and _")
		return
	}
	x := &variable{name: b.Labels[0], typ: cty.DynamicPseudoType, at: header(b)}
	if !v.register(x) {
		return
	}
	if a, ok := b.Body.Attributes["type"]; ok {
		var diags hcl.Diagnostics
		if x.typ, x.defaults, diags = typeexpr.TypeConstraintWithDefaults(a.Expr); diags.HasErrors() {
			v.diags.addHCL(diags)
			x.typ, x.defaults = cty.DynamicPseudoType, nil
		}
	}
	known := []string{"type", "default", "description", "validation"}
	for _, name := range sortedByPosition(b.Body.Attributes) {
		a := b.Body.Attributes[name]
		switch name {
		case "type":
		case "default":
			if d, ok := v.value(a.Expr, v.context()); ok {
				v.assign(x, d, a.Expr.Range())
			} else {
				x.value = cty.DynamicVal
			}
		case "description":
			v.value(a.Expr, v.context())
		default:
			v.diags.add(a.NameRange, suggestion(name, known), "unknown argument %q of a variable", name)
		}
	}
	for _, c := range b.Body.Blocks {
		if c.Type != "validation" {
			v.diags.add(c.TypeRange, suggestion(c.Type, known), "unknown block %q of a variable", c.Type)
			continue
		}
		x.validation = append(x.validation, c)
	}
}

// declareAll reads a variables block: names with their defaults.
func (v *variables) declareAll(b *hclsyntax.Block) {
	v.noBlocks(b)
	for _, name := range sortedByPosition(b.Body.Attributes) {
		a := b.Body.Attributes[name]
		x := &variable{name: name, typ: cty.DynamicPseudoType, at: a.NameRange, value: cty.DynamicVal}
		if d, ok := v.value(a.Expr, v.context()); ok && v.register(x) {
			x.value = d
		}
	}
}

func (v *variables) noBlocks(b *hclsyntax.Block) {
	if len(b.Labels) > 0 {
		v.diags.add(header(b), "", "the block %q takes no label", b.Type)
	}
	for _, c := range b.Body.Blocks {
		v.diags.add(c.TypeRange, "write "+c.Type+" = ...", "the block %q holds arguments only", b.Type)
	}
}

func (v *variables) register(x *variable) bool {
	if other, twice := v.byName[x.name]; twice {
		v.diags.add(x.at, "", "the variable %q is declared twice, first in line %d", x.name, other.at.Start.Line)
		return false
	}
	v.byName[x.name] = x
	return true
}

// assign converts a value to the variable's type.
func (v *variables) assign(x *variable, value cty.Value, at hcl.Range) {
	if x.defaults != nil && !value.IsNull() {
		value = x.defaults.Apply(value)
	}
	converted, err := convert.Convert(value, x.typ)
	if err != nil {
		v.diags.add(at, "", "the variable %q must be %s: %v", x.name, typeexpr.TypeString(x.typ), err)
		converted = cty.DynamicVal
	}
	x.value = converted
}

// given takes the values from outside: environment, files, flags, in this
// order of precedence, the last wins.
func (v *variables) given(opts Options) {
	for _, name := range v.names() {
		for _, prefix := range envPrefixes {
			if text, ok := environment(opts.Env, prefix+name); ok {
				v.fromText(name, text, "environment variable "+prefix+name)
				break
			}
		}
	}
	for _, f := range opts.VarFiles {
		v.fromFile(f, opts.Strict)
	}
	for _, flag := range opts.Vars {
		name, text, ok := strings.Cut(flag, "=")
		if name = strings.TrimSpace(name); !ok || name == "" {
			v.diags.add(hcl.Range{}, "", "-var %q is not name=value", flag)
			continue
		}
		if v.byName[name] == nil {
			v.unknown(hcl.Range{}, name, "-var "+name, opts.Strict)
			continue
		}
		v.fromText(name, text, "-var "+name)
	}
}

func (v *variables) names() []string {
	names := make([]string, 0, len(v.byName))
	for n := range v.byName {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// environment finds the last setting of a variable in a list of name=value.
func environment(env []string, name string) (string, bool) {
	for _, e := range slices.Backward(env) {
		if key, value, ok := strings.Cut(e, "="); ok && key == name {
			return value, true
		}
	}
	return "", false
}

func (v *variables) unknown(at hcl.Range, name, origin string, strict bool) {
	if strict {
		v.diags.add(at, suggestion(name, v.names()), "%s sets a variable that the job file does not declare", origin)
		return
	}
	v.warn(hcl.Range{Filename: origin}, "the job file declares no variable %q", name)
}

// fromText sets a variable from a flag or the environment. Of a variable whose
// type is a string, a number or not said the text is the value; of others it
// is an expression.
func (v *variables) fromText(name, text, origin string) {
	x := v.byName[name]
	if x.typ == cty.String || x.typ == cty.Number || x.typ == cty.DynamicPseudoType {
		v.assign(x, cty.StringVal(text), v.outside(origin, text))
		return
	}
	at := v.outside(origin, text)
	if !v.scan([]byte(text), origin, hclsyntax.LexExpression) {
		return
	}
	expr, diags := hclsyntax.ParseExpression([]byte(text), origin, hcl.InitialPos)
	if diags.HasErrors() {
		v.diags.addHCL(diags)
		return
	}
	if value, ok := v.value(expr, v.context()); ok {
		v.assign(x, value, at)
	}
}

// outside makes a text from outside the file a source that faults can show.
func (v *variables) outside(origin, text string) hcl.Range {
	v.sources.text[origin] = []byte(text)
	end := hcl.Pos{Line: 1, Column: 1 + len(text), Byte: len(text)}
	return hcl.Range{Filename: origin, Start: hcl.InitialPos, End: end}
}

// fromFile sets variables from a file of arguments, HCL or JSON.
func (v *variables) fromFile(f Source, strict bool) {
	body, ok := v.parse(f, plainShape)
	if !ok {
		return
	}
	for _, b := range body.Blocks {
		v.diags.add(b.TypeRange, "write "+b.Type+" = ...", "a variable file holds arguments only")
	}
	for _, name := range sortedByPosition(body.Attributes) {
		a := body.Attributes[name]
		x := v.byName[name]
		if x == nil {
			v.unknown(a.NameRange, name, f.Name, strict)
			continue
		}
		if value, ok := v.value(a.Expr, v.context()); ok {
			v.assign(x, value, a.Expr.Range())
		}
	}
}

// check validates all values and returns them as the object var.
func (v *variables) check() cty.Value {
	values := map[string]cty.Value{}
	for _, name := range v.names() {
		x := v.byName[name]
		if x.value == cty.NilVal {
			v.diags.add(x.at, "set it with -var "+name+"=..., a variable file or STEPPE_VAR_"+name,
				"the variable %q has no value and no default", name)
			x.value = cty.DynamicVal
		}
		values[name] = x.value
		for _, b := range x.validation {
			v.validate(x, b)
		}
	}
	return cty.ObjectVal(values)
}

// validate evaluates one validation block; it sees its own variable only, also
// as var.self.
func (v *variables) validate(x *variable, b *hclsyntax.Block) {
	condition, ok := b.Body.Attributes["condition"]
	message, has := b.Body.Attributes["error_message"]
	if !ok || !has || len(b.Body.Attributes) > 2 || len(b.Body.Blocks) > 0 {
		v.diags.add(header(b), "", "a validation block holds condition and error_message")
		return
	}
	if !x.value.IsWhollyKnown() {
		return
	}
	ctx := v.context()
	ctx.Variables = map[string]cty.Value{"var": cty.ObjectVal(map[string]cty.Value{x.name: x.value, "self": x.value})}
	result, ok := v.value(condition.Expr, ctx)
	if !ok {
		return
	}
	if holds, err := convert.Convert(result, cty.Bool); err != nil || holds.IsNull() {
		v.diags.add(condition.Expr.Range(), "", "a condition must be true or false, not %s", shown(result))
		return
	} else if holds.True() {
		return
	}
	text, ok := v.value(message.Expr, ctx)
	if !ok {
		return
	}
	words, err := asString(text)
	if err != nil {
		v.diags.add(message.Expr.Range(), "", "error_message %v", err)
		return
	}
	v.diags.add(x.at, "", "invalid value for the variable %q: %s", x.name, words)
}
