package jobspec

import (
	"maps"
	"reflect"
	"sync"
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/relation"
)

// kind says what an argument or block holds.
type kind uint8

const (
	kindString kind = iota
	kindInt
	kindUint
	kindBool
	kindDuration
	kindStrings    // list(string)
	kindNumbers    // list(number)
	kindStringMap  // a block or an argument of strings: env, meta
	kindAnyMap     // a block or an argument without schema: config
	kindStringsMap // a block or an argument of lists of strings: header
	kindBlock      // a block that occurs at most once
	kindBlocks     // a block that may be repeated
	kindBlockMap   // blocks that form a map by their label: volume
)

func (k kind) isBlock() bool { return k == kindBlock || k == kindBlocks || k == kindBlockMap }
func (k kind) isMap() bool {
	return k == kindStringMap || k == kindAnyMap || k == kindStringsMap
}

// field is one argument or block of a block.
type field struct {
	json  string // key in the tree that model.BuildJob reads
	kind  kind
	bits  int    // of a number
	block *block // of the block kinds
}

// block is the schema of a block.
type block struct {
	fields   map[string]*field
	label    string // key that the block's label sets; "" = no label
	required []string
	finish   func(tree map[string]any) // last touch on a decoded block
}

// Keys of the tree that do not reach the model: what they hold is moved.
const (
	keyTasks  = "@tasks"  // tasks written in the job
	keyVault  = "@vault"  // vault block of a job or group
	keySecret = "@secret" // secret blocks of a job or group
	keyPorts  = "@ports"  // port blocks, static and dynamic
	keyLabel  = "@label"  // label that is no field of the model
)

// requiredArguments lists what the decoder insists on, by model type.
var requiredArguments = map[string][]string{
	"TaskLifecycle": {"hook"},
	"WaitConfig":    {"min", "max"},
	"ChangeScript":  {"command"},
	"Action":        {"command"},
}

// jobBlock is the schema of the job block, derived from the model's types when
// the first job is parsed.
var jobBlock = sync.OnceValue(newJobBlock)

func newJobBlock() *block {
	b := &builder{done: map[reflect.Type]*block{}}
	job := b.of(reflect.TypeFor[model.Job]())
	group := b.of(reflect.TypeFor[model.TaskGroup]())
	task := b.of(reflect.TypeFor[model.Task]())
	vault := &field{json: keyVault, kind: kindBlock, block: b.of(reflect.TypeFor[model.Vault]())}
	secret := &field{json: keySecret, kind: kindBlocks, block: b.of(reflect.TypeFor[model.Secret]())}
	job.fields["vault"], job.fields["secret"] = vault, secret
	job.fields["task"] = &field{json: keyTasks, kind: kindBlocks, block: task}
	group.fields["vault"], group.fields["secret"] = vault, secret
	job.label = keyLabel

	b.of(reflect.TypeFor[model.LogConfig]()).fields["enabled"] = &field{json: "Enabled", kind: kindBool}
	network := b.of(reflect.TypeFor[model.NetworkResource]())
	network.fields["port"].json = keyPorts
	network.finish = splitPorts
	b.of(reflect.TypeFor[model.Service]()).fields["connect"] = &field{json: "Connect", kind: kindBlock, block: connectBlock(b)}

	scaling := b.of(reflect.TypeFor[model.ScalingPolicy]())
	labelled := &block{fields: maps.Clone(scaling.fields), label: keyLabel, finish: scalingTarget}
	task.fields["scaling"] = &field{json: "ScalingPolicies", kind: kindBlocks, block: labelled}

	comparison(b.of(reflect.TypeFor[model.Constraint]()))
	comparison(b.of(reflect.TypeFor[model.Affinity]()))
	return job
}

// builder derives schemas from types, each once.
type builder struct{ done map[reflect.Type]*block }

func (b *builder) of(t reflect.Type) *block {
	if known, ok := b.done[t]; ok {
		return known
	}
	s := &block{fields: map[string]*field{}, label: model.LabelField(t), required: requiredArguments[t.Name()]}
	b.done[t] = s
	for i := range t.NumField() {
		f := t.Field(i)
		name := model.AttributeName(t, f)
		if name == "" || f.Name == s.label {
			continue
		}
		s.fields[name] = b.field(f)
	}
	return s
}

func (b *builder) field(f reflect.StructField) *field {
	t := f.Type
	out := &field{json: f.Name, bits: 64}
	switch t.Kind() {
	case reflect.String:
		out.kind = kindString
	case reflect.Bool:
		out.kind = kindBool
	case reflect.Int, reflect.Int8, reflect.Int64:
		out.kind, out.bits = kindInt, t.Bits()
		if t == reflect.TypeFor[time.Duration]() {
			out.kind = kindDuration
		}
	case reflect.Uint8, reflect.Uint64:
		out.kind, out.bits = kindUint, t.Bits()
	case reflect.Pointer:
		out.kind, out.block = kindBlock, b.of(t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.String {
			out.kind = kindStrings
			break
		}
		out.kind, out.block = kindBlocks, b.of(structOf(t.Elem()))
	case reflect.Map:
		b.mapField(out, t)
	default:
		panic("jobspec: no schema for a field of type " + t.String())
	}
	return out
}

func (b *builder) mapField(out *field, t reflect.Type) {
	switch e := t.Elem(); e.Kind() {
	case reflect.String:
		out.kind = kindStringMap
	case reflect.Interface:
		out.kind = kindAnyMap
	case reflect.Slice:
		out.kind = kindStringsMap
	default:
		out.kind, out.block = kindBlockMap, b.of(structOf(e))
	}
}

func structOf(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// shorthands are arguments of constraint and affinity that set the operator
// and the value at once: version = ">= 1.2".
var shorthands = []string{
	relation.Version, relation.Semver, relation.Regexp, relation.SetContains, relation.SetContainsAll, relation.SetContainsAny,
	relation.DistinctHosts, relation.DistinctProperty, relation.IsSet, relation.IsNotSet,
}

// comparison adds the shorthands to a constraint or affinity block.
func comparison(b *block) {
	for _, s := range shorthands {
		k := kindString
		if s == relation.DistinctHosts {
			k = kindBool
		}
		b.fields[s] = &field{json: "@" + s, kind: k}
	}
	b.finish = func(tree map[string]any) {
		for _, s := range shorthands {
			v, ok := tree["@"+s]
			if !ok {
				continue
			}
			delete(tree, "@"+s)
			tree["Operand"] = s
			switch s {
			case relation.DistinctHosts:
				tree["RTarget"] = map[bool]string{true: "true", false: "false"}[v == true]
			case relation.DistinctProperty, relation.IsSet, relation.IsNotSet:
				tree["LTarget"] = v
			default:
				tree["RTarget"] = v
			}
		}
		if tree["Operand"] == nil {
			tree["Operand"] = "="
		}
	}
}

// splitPorts sorts port blocks into the reserved and the dynamic ones.
func splitPorts(tree map[string]any) {
	ports, _ := tree[keyPorts].([]any)
	delete(tree, keyPorts)
	for _, p := range ports {
		list := "DynamicPorts"
		if n, ok := p.(map[string]any)["Value"].(int64); ok && n != 0 {
			list = "ReservedPorts"
		}
		have, _ := tree[list].([]any)
		tree[list] = append(have, p)
	}
}

// scalingTarget turns the label of a task's scaling block into its type.
func scalingTarget(tree map[string]any) {
	if label, ok := tree[keyLabel].(string); ok {
		tree["Type"] = "vertical_" + label
	}
	delete(tree, keyLabel)
}
