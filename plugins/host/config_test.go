package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/steppe-project/steppe/plugins"
	"github.com/tinylib/msgp/msgp"
)

// object is shorthand for a schema of named attributes.
func object(fields map[string]*plugins.Spec) *plugins.Spec { return &plugins.Spec{Object: fields} }

func literal(text string) *plugins.Spec { return &plugins.Spec{Literal: &text} }

// taskSpec is like what drivers in use have: attributes of several types,
// defaults, nested blocks once, many times and labelled, free maps.
var taskSpec = object(map[string]*plugins.Spec{
	"command":  plugins.Attr("command", "string", true),
	"args":     plugins.Attr("args", "list(string)", false),
	"count":    plugins.Attr("count", "number", false),
	"fast":     plugins.WithDefault(plugins.Attr("fast", "bool", false), "true"),
	"weight":   plugins.WithDefault(plugins.Attr("weight", "number", false), "max(1, 2)"),
	"labels":   plugins.Attr("labels", "list(map(string))", false),
	"port_map": plugins.Attr("port_map", "map(number)", false),
	"extra":    plugins.Attr("extra", "any", false),
	"gc": {Default: &plugins.DefaultSpec{
		Primary: &plugins.Spec{Block: &plugins.BlockSpec{Name: "gc", Nested: object(map[string]*plugins.Spec{
			"container": plugins.WithDefault(plugins.Attr("container", "bool", false), "true"),
		})}},
		Default: literal("{\n container = true\n}"),
	}},
	"mount": {BlockList: &plugins.BlockSpec{Name: "mount", Max: 2, Nested: object(map[string]*plugins.Spec{
		"source": plugins.Attr("", "string", true),
		"tags":   plugins.Attr("tags", "map(string)", false),
	})}},
	"sysctl":  {BlockAttrs: &plugins.AttrSpec{Name: "sysctl", Type: "string"}},
	"logging": {BlockMap: &plugins.BlockSpec{Name: "logging", Labels: []string{"driver"}, Nested: plugins.Attr("level", "any", false)}},
})

// plain is what taskSpec makes of a configuration that sets the command alone.
func plain() map[string]any {
	return map[string]any{
		"command": "run", "args": nil, "count": nil, "fast": true, "weight": 2.0, "labels": nil, "port_map": nil,
		"extra": nil, "gc": map[string]any{"container": true}, "mount": []any{}, "sysctl": nil, "logging": map[string]any{},
	}
}

func with(changes map[string]any) map[string]any {
	out := plain()
	for k, v := range changes {
		out[k] = v
	}
	return out
}

// fromMsgpack reads back what a plugin would.
func fromMsgpack(t testing.TB, b []byte) map[string]any {
	t.Helper()
	var text bytes.Buffer
	if rest, err := msgp.UnmarshalAsJSON(&text, b); err != nil || len(rest) > 0 {
		t.Fatalf("not one msgpack value: %v, %d bytes left", err, len(rest))
	}
	var out map[string]any
	if err := json.Unmarshal(text.Bytes(), &out); err != nil {
		t.Fatalf("%v in %s", err, text.Bytes())
	}
	return out
}

func TestDecodeConfig(t *testing.T) {
	vars := map[string]string{
		"NOMAD_PORT_http": "8080", "attr.kernel.name": "linux", "attr.cpu.arch": "amd64",
		`env["HOME"]`: "/root", "env[USER]": "nobody", "meta.a-b": "dash", "node.unique.id": "n1",
		"attr.driver.docker": "1", "attr.driver.docker.version": "27", "FOO": "foo",
	}
	cases := []struct {
		name   string
		config map[string]any
		want   map[string]any
	}{
		{"defaults", map[string]any{"command": "run"}, plain()},
		{"null takes the default", map[string]any{"command": "run", "fast": nil, "gc": nil}, plain()},
		{"types convert", map[string]any{"command": "run", "count": "7", "fast": "false", "args": []string{"a", "b"}},
			with(map[string]any{"count": 7.0, "fast": false, "args": []any{"a", "b"}})},
		{"numbers", map[string]any{"command": 5, "count": 2.5}, with(map[string]any{"command": "5", "count": 2.5})},
		{"variables", map[string]any{"command": "run", "count": "${NOMAD_PORT_http}", "args": []any{
			"-l=:${NOMAD_PORT_http}", "${attr.kernel.name}/${attr.cpu.arch}", `${env["HOME"]}`, "${env.USER}", `${meta["a-b"]}${meta.a-b}`, "${node.unique.id}",
		}}, with(map[string]any{"count": 8080.0, "args": []any{"-l=:8080", "linux/amd64", "/root", "nobody", "dashdash", "n1"}})},
		{"escapes", map[string]any{"command": "run", "args": []any{"$${FOO} $FOO ${FOO} %%{http_code}"}},
			with(map[string]any{"args": []any{"${FOO} $FOO foo %{http_code}"}})},
		{"functions", map[string]any{"command": "${upper(FOO)}"}, with(map[string]any{"command": "FOO"})},
		{"a name that another begins with", map[string]any{"command": "${attr.driver.docker.version}"}, with(map[string]any{"command": "27"})},
		{"a map for a list of maps", map[string]any{"command": "run", "labels": map[string]any{"a": "${FOO}"}},
			with(map[string]any{"labels": []any{map[string]any{"a": "foo"}}})},
		{"a list of maps for a map", map[string]any{"command": "run", "port_map": []map[string]int{{"http": 80}, {"ssh": 22}}},
			with(map[string]any{"port_map": map[string]any{"http": 80.0, "ssh": 22.0}})},
		{"block as a map", map[string]any{"command": "run", "gc": map[string]any{"container": false}, "mount": map[string]any{"source": "/a"}},
			with(map[string]any{"gc": map[string]any{"container": false}, "mount": []any{map[string]any{"source": "/a", "tags": nil}}})},
		{"block as a list", map[string]any{"command": "run", "gc": []any{map[string]any{"container": false}}, "mount": []any{
			map[string]any{"source": "/a", "tags": []any{map[string]any{"x": "y"}}}, map[string]any{"source": "/b"},
		}}, with(map[string]any{"gc": map[string]any{"container": false}, "mount": []any{
			map[string]any{"source": "/a", "tags": map[string]any{"x": "y"}}, map[string]any{"source": "/b", "tags": nil},
		}})},
		{"free attributes", map[string]any{"command": "run", "sysctl": []any{map[string]any{"net.core.somaxconn": 16384}}},
			with(map[string]any{"sysctl": map[string]any{"net.core.somaxconn": "16384"}})},
		{"labelled blocks of any", map[string]any{"command": "run", "logging": map[string]any{"a": map[string]any{"level": 1}, "b": map[string]any{"level": "x"}}},
			with(map[string]any{"logging": map[string]any{"a": 1.0, "b": "x"}})},
		{"any", map[string]any{"command": "run", "extra": map[string]any{"a": []any{1, "x", true, nil}}},
			with(map[string]any{"extra": map[string]any{"a": []any{1.0, "x", true, nil}}})},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b, err := DecodeConfig(taskSpec, c.config, vars)
			if err != nil {
				t.Fatal(err)
			}
			if got := fromMsgpack(t, b); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %v\nwant %v", got, c.want)
			}
		})
	}
}

func TestDecodeConfigErrors(t *testing.T) {
	deep := any("x")
	for range maxConfigDepth + 1 {
		deep = []any{deep}
	}
	cases := []struct {
		name   string
		config map[string]any
		want   []string
	}{
		{"unknown attribute with a suggestion", map[string]any{"comand": "x"}, []string{`comand: No argument or block type is named "comand". Did you mean "command"?`}},
		{"unknown attribute in a block", map[string]any{"command": "x", "mount": []any{map[string]any{"source": "/a"}, map[string]any{"surce": 1}}},
			[]string{`mount[1].surce: No argument or block type is named "surce". Did you mean "source"?`}},
		{"missing attribute", map[string]any{}, []string{`The argument "command" is required`}},
		{"missing attribute in a block", map[string]any{"command": "x", "mount": map[string]any{}}, []string{`mount: The argument "source" is required`}},
		{"wrong type", map[string]any{"command": "x", "count": "many"}, []string{`count: Inappropriate value for attribute "count": a number is required`}},
		{"not a list", map[string]any{"command": "x", "args": 5}, []string{`args: Inappropriate value`}},
		{"too many blocks", map[string]any{"command": "x", "mount": []any{map[string]any{"source": "a"}, map[string]any{"source": "b"}, map[string]any{"source": "c"}}},
			[]string{"No more than 2"}},
		{"unknown variable", map[string]any{"command": "x", "args": []any{"a", "-p=${NOMAD_PORT_htp}"}},
			[]string{`args[1]: there is no variable "NOMAD_PORT_htp", did you mean "NOMAD_PORT_http"?; to pass ${NOMAD_PORT_htp} on as it is, write $${NOMAD_PORT_htp}`}},
		{"two unknown variables", map[string]any{"command": "${attr.nope}", "args": []any{"${FOO_BAR_BAZ}"}}, []string{`command: there is no variable "attr.nope"`, `args[0]: there is no variable "FOO_BAR_BAZ"`}},
		{"a whole object", map[string]any{"command": "${attr}"}, []string{`there is no variable "attr"`}},
		{"broken template", map[string]any{"command": "${FOO:-x}"}, []string{"command: "}},
		{"loop", map[string]any{"command": "%{for x in [1,2]}%{for y in [1,2]}a%{endfor}%{endfor}"}, []string{"command: loops are"}},
		{"too deep", map[string]any{"command": "x", "extra": deep}, []string{"levels deep"}},
		{"too large", map[string]any{"command": strings.Repeat("x", maxConfigBytes)}, []string{"more than the"}},
		{"template too large", map[string]any{"command": "${FOO}" + strings.Repeat("x", maxTemplateBytes)}, []string{"at most"}},
		{"huge number", map[string]any{"command": json.Number("1e999999999")}, []string{"command: the number is too large"}},
		{"huge number in a template", map[string]any{"command": "${1e999999999}"}, []string{"command: a text with"}},
		{"not JSON", map[string]any{"command": func() {}}, []string{"not a configuration"}},
	}
	vars := map[string]string{"NOMAD_PORT_http": "1", "attr.kernel.name": "linux"}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := DecodeConfig(taskSpec, c.config, vars)
			var list *ConfigError
			if !errors.As(err, &list) {
				t.Fatalf("error %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is more than a line, which a task event cannot show", err)
			}
			if strings.Contains(err.Error(), "config:1") {
				t.Errorf("%q shows a place in generated JSON", err)
			}
		})
	}
}

// TestNestedTemplates feeds what recurses in the template parser.
func TestNestedTemplates(t *testing.T) {
	t.Parallel()
	if _, err := DecodeConfig(taskSpec, map[string]any{"command": "${1" + strings.Repeat("+1", maxTemplateBytes/2-2) + "}"}, nil); err == nil {
		t.Error("a sum of many is accepted")
	}
	for _, text := range []string{"(", "[", "{", "{a=", "!", "-", "1?1:", `"${`, "a.", "a[", "f(", "1+", "1*-", "%{if true}", "~", "<<A\n${", "1+1}${"} {
		for n, start := range map[int]string{maxTemplateParts - 1: "${", 10 * maxTemplateParts: "%{if "} {
			if _, err := DecodeConfig(taskSpec, map[string]any{"command": start + strings.Repeat(text, n)}, nil); err == nil {
				t.Errorf("%q repeated is accepted", text)
			}
		}
	}
}

func TestNoSchema(t *testing.T) {
	if b, err := DecodeConfig(nil, nil, nil); b != nil || err != nil {
		t.Errorf("%v %v", b, err)
	}
	if _, err := DecodeConfig(nil, map[string]any{"a": 1}, nil); err == nil {
		t.Error("a configuration for a plugin without a schema is accepted")
	}
}

func TestBadSchemas(t *testing.T) {
	deep := plugins.Attr("a", "string", false)
	for range maxSpecDepth + 1 {
		deep = object(map[string]*plugins.Spec{"a": deep})
	}
	cases := map[string]*plugins.Spec{
		"empty":          {},
		"nil attribute":  object(map[string]*plugins.Spec{"a": nil}),
		"type":           plugins.Attr("a", "lst(string)", false),
		"type syntax":    plugins.Attr("a", "list(", false),
		"block type":     {BlockAttrs: &plugins.AttrSpec{Name: "a", Type: "?"}},
		"literal":        plugins.WithDefault(plugins.Attr("a", "string", false), "nope("),
		"literal var":    plugins.WithDefault(plugins.Attr("a", "string", false), "x"),
		"empty default":  {Default: &plugins.DefaultSpec{}},
		"empty block":    {Block: &plugins.BlockSpec{Name: "a"}},
		"labels":         {BlockMap: &plugins.BlockSpec{Name: "a", Nested: literal("1")}},
		"items":          {BlockList: &plugins.BlockSpec{Name: "a", Min: 1 << 63, Nested: literal("1")}},
		"too deep":       deep,
		"long literal":   literal(strings.Repeat("(", maxTemplateParts+1)),
		"array of empty": {Array: []*plugins.Spec{{}}},
	}
	for name, spec := range cases {
		if _, err := NewDecoder(spec); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestPathAt(t *testing.T) {
	src := `{"a":{"b":[1,{"c":"x"}]},"d":"y"}`
	cases := map[string]string{"{": "", `"a"`: "a", `"b"`: "a.b", "1": "a.b[0]", `"c"`: "a.b[1].c", `"x"`: "a.b[1].c", `"d"`: "d", `"y"`: "d"}
	for at, want := range cases {
		if got := pathAt([]byte(src), strings.Index(src, at)); got != want {
			t.Errorf("at %s: %q, want %q", at, got, want)
		}
	}
	if got := pathAt([]byte(src), len(src)); got != "" {
		t.Errorf("behind the end: %q", got)
	}
}

// FuzzDecodeConfig looks for crashes and for output that is not one msgpack map.
func FuzzDecodeConfig(f *testing.F) {
	f.Add(`{"command":"run","args":["${FOO}","$${X}"]}`)
	f.Add(`{"command":"x","mount":[{"source":"a","tags":{"k":"v"}},{"source":"b"}],"labels":{"a":"b"}}`)
	f.Add(`{"command":5,"count":1e400,"gc":[{"container":"true"}],"sysctl":{"a":1},"logging":{"a":{"level":[]}}}`)
	f.Add(`{"command":"${upper(\"x\")} %{if true}a%{endif} ${env[\"A\"]}","extra":{"${FOO}":null,"//":1}}`)
	f.Add(`{"comand":[[[{}]]],"mount":"x","port_map":[{"a":1},{"a":2}]}`)
	decoder, err := NewDecoder(taskSpec)
	if err != nil {
		f.Fatal(err)
	}
	vars := map[string]string{"FOO": "foo", "env[A]": "b", "attr.a": "1", "attr.a.b": "2"}
	f.Fuzz(func(t *testing.T, src string) {
		var config map[string]any
		if json.Unmarshal([]byte(src), &config) != nil {
			return
		}
		b, err := decoder.Decode(config, vars)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		got := fromMsgpack(t, b)
		for key := range taskSpec.Object {
			if _, ok := got[key]; !ok {
				t.Errorf("%s is missing", key)
			}
		}
	})
}
