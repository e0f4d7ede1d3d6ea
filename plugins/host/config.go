package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hcldec"
	hcljson "github.com/hashicorp/hcl/v2/json"
	"github.com/steppe-project/steppe/plugins"
)

// Limits of one configuration block, as JSON.
const (
	// maxConfigBytes is well above the largest templates seen in job files and
	// below what a plugin's server accepts in a message.
	maxConfigBytes = 8 << 20
	// maxConfigDepth keeps the recursive parsers from a stack overflow.
	maxConfigDepth = 100
)

// ConfigError lists everything wrong with a configuration block.
type ConfigError struct{ Problems []Problem }

// Problem is one fault: the path of the attribute ("ports[0].label", empty for
// the block itself) and what is wrong in words.
type Problem struct{ Path, Message string }

// Error has one line for each problem.
func (e *ConfigError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.Message
		if p.Path != "" {
			lines[i] = p.Path + ": " + p.Message
		}
	}
	return strings.Join(lines, "; ") // one line: task events are
}

func problem(path, format string, args ...any) *ConfigError {
	return &ConfigError{[]Problem{{path, fmt.Sprintf(format, args...)}}}
}

// Decoder turns configuration blocks of one schema into what the plugin reads.
// It is immutable and safe for concurrent use.
type Decoder struct{ spec hcldec.Spec }

// NewDecoder prepares a schema; nil accepts no configuration at all.
func NewDecoder(spec *plugins.Spec) (*Decoder, error) {
	if spec == nil {
		return &Decoder{}, nil
	}
	dec, err := SpecToHCLDec(spec)
	if err != nil {
		return nil, fmt.Errorf("the plugin's schema is not usable: %w", err)
	}
	return &Decoder{spec: dec}, nil
}

// DecodeConfig is NewDecoder and Decode in one.
func DecodeConfig(spec *plugins.Spec, config map[string]any, vars map[string]string) ([]byte, error) {
	d, err := NewDecoder(spec)
	if err != nil {
		return nil, err
	}
	return d.Decode(config, vars)
}

// Decode checks config against the schema, completes it with the schema's
// defaults, replaces ${...} by vars and encodes the result as one msgpack map.
//
// The keys of vars are flat: "NOMAD_ALLOC_ID", "attr.kernel.name", "meta.x",
// `env["HOME"]` or "env[HOME]". A block may be given as a map or as a list of
// maps, as job files in HCL and in JSON have it. The error, a *ConfigError,
// names every unknown, missing or mistyped attribute and unknown variable.
func (d *Decoder) Decode(config map[string]any, vars map[string]string) (out []byte, err error) {
	if d.spec == nil {
		if len(config) > 0 {
			return nil, problem("", "this plugin takes no configuration")
		}
		return nil, nil
	}
	// The schema comes from another process; a combination that the decoder's
	// authors ruled out must not end the agent.
	defer func() {
		if r := recover(); r != nil {
			out, err = nil, fmt.Errorf("the plugin's schema is not usable: %v", r)
		}
	}()
	src, err := d.source(config)
	if err != nil {
		return nil, err
	}
	file, diags := hcljson.Parse(src, "config")
	if diags.HasErrors() {
		return nil, fromDiagnostics(diags, src)
	}
	ctx, problems := evalContext(hcldec.Variables(file.Body, d.spec), vars, src)
	value, diags := hcldec.Decode(file.Body, d.spec, ctx)
	if len(problems) > 0 {
		// The decoder reports the same variables again, in fewer words.
		return nil, &ConfigError{problems}
	}
	if diags.HasErrors() {
		return nil, fromDiagnostics(diags, src)
	}
	return appendMsgpack(nil, value)
}

// source is config as JSON in the shape that the schema expects.
func (d *Decoder) source(config map[string]any) ([]byte, error) {
	if config == nil {
		config = map[string]any{}
	}
	src, err := json.Marshal(config)
	if err != nil {
		return nil, problem("", "not a configuration: %v", err)
	}
	if len(src) > maxConfigBytes {
		return nil, problem("", "has %d bytes, more than the %d allowed", len(src), maxConfigBytes)
	}
	if depth := jsonDepth(src); depth > maxConfigDepth {
		return nil, problem("", "is nested %d levels deep, more than the %d allowed", depth, maxConfigDepth)
	}
	var body map[string]any
	decoder := json.NewDecoder(bytes.NewReader(src))
	decoder.UseNumber()
	if err := decoder.Decode(&body); err != nil {
		return nil, problem("", "not a configuration: %v", err)
	}
	if problems := checkTemplates("", body); len(problems) > 0 {
		return nil, &ConfigError{problems}
	}
	shapeBody(d.spec, body)
	return json.Marshal(body)
}

// jsonDepth is the nesting of valid JSON.
func jsonDepth(src []byte) int {
	depth, deepest, quoted := 0, 0, false
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

// fromDiagnostics names the attribute of each error by its place in src.
func fromDiagnostics(diags hcl.Diagnostics, src []byte) error {
	out := &ConfigError{}
	for _, d := range diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		p := Problem{Message: strings.TrimSuffix(d.Detail, ".")}
		if p.Message == "" {
			p.Message = d.Summary
		}
		if d.Subject != nil {
			p.Path = pathAt(src, d.Subject.Start.Byte)
		}
		out.Problems = append(out.Problems, p)
	}
	if len(out.Problems) == 0 {
		return errors.New("configuration cannot be decoded")
	}
	return out
}
