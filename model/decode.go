package model

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A job arrives as JSON of many clients, full or sparse, or as a job file.
// Both become a tree of plain values, and the tree is decoded over the
// defaults: what is absent or null keeps its default, what is written wins,
// zeros included. Job.Type is read first, because defaults depend on it, and
// the blocks of a job before its groups, those of a group before its tasks,
// because the lower ones inherit.

// Limits of a job's description.
const (
	// MaxJobBytes bounds a job's source, HCL or JSON. Real ones stay under
	// 100 KB; what is larger is a mistake or an attack.
	MaxJobBytes = 8 << 20
	// MaxNesting bounds how deep values may nest. Real job files stay under 15.
	MaxNesting = 100
	// maxFaults bounds the faults told of one job: more help nobody.
	maxFaults = 20
	// maxWarnings bounds the warnings of one job likewise.
	maxWarnings = 50
)

// fault is a value that does not fit its field.
type fault struct {
	path    string // JSON path without the root: TaskGroups[0].Count
	message string
}

// decoder is the state of decoding one job.
type decoder struct {
	job      *Job
	group    *TaskGroup
	service  *Service
	faults   []fault
	warnings []string
}

// BuildJob decodes a job from a tree of plain values: map[string]any with the
// names of the JSON form as keys, []any, string, bool, nil, and numbers as
// json.Number, int64 or float64. The job has its defaults but is not yet
// canonical. Unknown fields that are not empty come back as warnings; values
// of a wrong type are one error (CodeInvalid) that names them all.
func BuildJob(tree map[string]any) (*Job, []string, error) {
	d := &decoder{}
	j := d.buildJob(tree)
	if len(d.faults) > 0 {
		return nil, d.warnings, faultsError(d.faults, func(string) string { return "" })
	}
	return j, d.warnings, nil
}

func (d *decoder) buildJob(tree map[string]any) *Job {
	jobType, _ := lookup(tree, "Type").(string)
	d.job = NewJob(jobType)
	d.object(reflect.ValueOf(d.job).Elem(), tree, "")
	return d.job
}

func faultsError(faults []fault, where func(path string) string) error {
	lines := make([]string, 0, len(faults))
	for _, f := range faults {
		p := "Job"
		if f.path != "" {
			p += "." + f.path
		}
		lines = append(lines, p+": "+f.message+where(f.path))
	}
	return &Error{Code: CodeInvalid, Message: strings.Join(lines, "\n")}
}

func (d *decoder) fail(path, format string, args ...any) {
	if len(d.faults) < maxFaults {
		d.faults = append(d.faults, fault{path, fmt.Sprintf(format, args...)})
	}
}

// value decodes src into dst; nil keeps what dst has.
func (d *decoder) value(dst reflect.Value, src any, path string) {
	if src == nil {
		return
	}
	switch dst.Kind() {
	case reflect.Pointer:
		if dst.IsNil() {
			dst.Set(d.fresh(dst.Type().Elem()))
		}
		d.value(dst.Elem(), src, path)
	case reflect.Struct:
		if obj, ok := src.(map[string]any); ok {
			d.object(dst, obj, path)
		} else {
			d.mismatch(path, "an object", src)
		}
	case reflect.Slice:
		d.list(dst, src, path)
	case reflect.Map:
		d.dict(dst, src, path)
	case reflect.Interface:
		if v, err := plain(src, 0); err != nil {
			d.fail(path, "%v", err)
		} else {
			dst.Set(reflect.ValueOf(v))
		}
	default:
		d.scalar(dst, src, path)
	}
}

// object decodes the fields of a struct: first scalars and single blocks, then
// lists of blocks, which may inherit from them.
func (d *decoder) object(dst reflect.Value, obj map[string]any, path string) {
	t := dst.Type()
	obj = withAliases(t, obj)
	d.enter(dst)
	keys := make([]string, 0, len(obj))
	for k := range obj {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, lists := range []bool{false, true} {
		for _, k := range keys {
			f, ok := fieldOf(t, k, obj)
			if !ok {
				if !lists && !empty(obj[k]) {
					d.warn(join(path, k))
				}
				continue
			}
			if holdsBlocks(f.Type) == lists {
				d.value(dst.FieldByIndex(f.Index), obj[k], join(path, f.Name))
			}
		}
	}
	finish(dst, obj)
}

func (d *decoder) warn(path string) {
	if len(d.warnings) < maxWarnings {
		d.warnings = append(d.warnings, fmt.Sprintf("unknown field Job.%s is ignored", path))
	}
}

// enter remembers what the blocks within inherit from.
func (d *decoder) enter(dst reflect.Value) {
	switch v := dst.Addr().Interface().(type) {
	case *TaskGroup:
		d.group = v
	case *Service:
		d.service = v
	}
}

// fresh is a new block with its defaults.
func (d *decoder) fresh(t reflect.Type) reflect.Value {
	var v any
	switch reflect.Zero(t).Interface().(type) {
	case TaskGroup:
		v = NewTaskGroup(d.job)
	case Task:
		v = NewTask(d.group)
	case UpdateStrategy:
		v = NewUpdateStrategy()
	case RestartPolicy:
		v = NewRestartPolicy(d.job.Type)
	case ReschedulePolicy:
		v = NewReschedulePolicy(d.job.Type)
	case MigrateStrategy:
		v = NewMigrateStrategy()
	case StatefulConfig:
		v = &StatefulConfig{Ordered: true}
	case GangConfig:
		v = &GangConfig{MaxPartial: DefaultMaxPartial}
	case DisconnectStrategy:
		v = NewDisconnectStrategy()
	case EphemeralDisk:
		v = &EphemeralDisk{SizeMB: DefaultDiskMB}
	case Resources:
		v = NewResources()
	case LogConfig:
		v = NewLogConfig()
	case Template:
		v = NewTemplate()
	case ChangeScript:
		v = &ChangeScript{Timeout: defaultScriptTimeout}
	case TaskArtifact:
		v = &TaskArtifact{GetterMode: "any"}
	case Vault:
		v = newVault()
	case Consul:
		v = &Consul{Cluster: defaultCluster}
	case VolumeMount:
		v = &VolumeMount{PropagationMode: "private"}
	case TaskCSIPluginConfig:
		v = newCSIPlugin()
	case PeriodicConfig:
		v = newPeriodic()
	case MultiregionRegion:
		v = &MultiregionRegion{Count: 1}
	case ScalingPolicy:
		v = &ScalingPolicy{Enabled: true}
	case Affinity:
		v = &Affinity{Weight: DefaultWeight}
	case Spread:
		v = &Spread{Weight: DefaultWeight}
	case RequestedDevice:
		v = &RequestedDevice{Count: 1}
	case CheckRestart:
		v = &CheckRestart{Grace: defaultCheckGrace}
	case ServiceCheck:
		v = &ServiceCheck{CheckRestart: copyPtr(d.service.CheckRestart)}
	default:
		return reflect.New(t)
	}
	return reflect.ValueOf(v)
}

// withAliases rewrites deprecated fields of a block to the ones that replaced them.
func withAliases(t reflect.Type, obj map[string]any) map[string]any {
	if t != reflect.TypeFor[LogConfig]() {
		return obj
	}
	enabled, ok := lookup(obj, "Enabled").(bool)
	if !ok {
		return obj
	}
	out := make(map[string]any, len(obj))
	for k, v := range obj {
		if !strings.EqualFold(k, "Enabled") {
			out[k] = v
		}
	}
	if lookup(out, "Disabled") == nil {
		out["Disabled"] = !enabled
	}
	return out
}

// finish sets defaults that depend on which other fields were written.
func finish(dst reflect.Value, obj map[string]any) {
	unset := func(name string) bool { return lookup(obj, name) == nil }
	switch v := dst.Addr().Interface().(type) {
	case *TaskGroup:
		scaling, _ := lookup(obj, "Scaling").(map[string]any)
		if v.Scaling == nil {
			return
		}
		if unset("Count") && lookup(scaling, "Min") != nil {
			v.Count = int(v.Scaling.Min)
		} else if lookup(scaling, "Min") == nil {
			v.Scaling.Min = int64(v.Count)
		}
	case *Resources:
		if unset("CPU") && !unset("Cores") {
			v.CPU = 0
		}
	case *TaskArtifact:
		if !unset("RelativeDest") {
			return
		}
		v.RelativeDest = "local/"
		if v.GetterMode == "file" {
			v.RelativeDest = path.Join("local", path.Base(v.GetterSource))
		}
	case *Template:
		if v.ChangeMode == "signal" && unset("ChangeSignal") {
			v.ChangeSignal = "SIGHUP"
		}
	}
}

// lookup finds a key as encoding/json does: exactly, else without regard to case.
func lookup(obj map[string]any, name string) any {
	if v, ok := obj[name]; ok {
		return v
	}
	for k, v := range obj {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return nil
}

// fieldOf is the field that a key means. Of keys that differ only in case the
// exact one counts.
func fieldOf(t reflect.Type, key string, obj map[string]any) (reflect.StructField, bool) {
	if f, ok := t.FieldByName(key); ok {
		return f, true
	}
	f, ok := t.FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, key) })
	if ok {
		_, exact := obj[f.Name]
		return f, !exact
	}
	return f, false
}

func (d *decoder) list(dst reflect.Value, src any, path string) {
	if dst.Type().Elem().Kind() == reflect.Uint8 {
		d.bytes(dst, src, path)
		return
	}
	items, ok := src.([]any)
	if !ok {
		d.mismatch(path, "a list", src)
		return
	}
	if len(items) == 0 {
		dst.SetZero()
		return
	}
	out := reflect.MakeSlice(dst.Type(), len(items), len(items))
	for i, item := range items {
		p := path + "[" + strconv.Itoa(i) + "]"
		if item == nil {
			d.fail(p, "must not be null")
			continue
		}
		d.value(out.Index(i), item, p)
	}
	dst.Set(out)
}

func (d *decoder) bytes(dst reflect.Value, src any, path string) {
	text, ok := src.(string)
	if !ok {
		d.mismatch(path, "a base64 string", src)
		return
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		d.fail(path, "must be base64: %v", err)
		return
	}
	dst.SetBytes(data)
}

func (d *decoder) dict(dst reflect.Value, src any, path string) {
	obj, ok := src.(map[string]any)
	if !ok {
		d.mismatch(path, "an object", src)
		return
	}
	if len(obj) == 0 {
		dst.SetZero()
		return
	}
	keys := make([]string, 0, len(obj))
	for k := range obj {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	out := reflect.MakeMapWithSize(dst.Type(), len(obj))
	for _, k := range keys {
		elem := reflect.New(dst.Type().Elem()).Elem()
		d.value(elem, obj[k], join(path, k))
		if elem.Kind() == reflect.Pointer && elem.IsNil() {
			d.fail(join(path, k), "must not be null")
			continue
		}
		out.SetMapIndex(reflect.ValueOf(k), elem)
	}
	dst.Set(out)
}

func (d *decoder) scalar(dst reflect.Value, src any, path string) {
	switch dst.Kind() {
	case reflect.String:
		if s, ok := src.(string); ok {
			dst.SetString(s)
		} else {
			d.mismatch(path, "a string", src)
		}
	case reflect.Bool:
		if b, ok := src.(bool); ok {
			dst.SetBool(b)
		} else {
			d.mismatch(path, "true or false", src)
		}
	case reflect.Int, reflect.Int8, reflect.Int64:
		d.integer(dst, src, path)
	case reflect.Uint8, reflect.Uint64:
		d.unsigned(dst, src, path)
	default:
		d.fail(path, "cannot hold a value")
	}
}

func (d *decoder) integer(dst reflect.Value, src any, path string) {
	if text, ok := src.(string); ok && dst.Type() == reflect.TypeFor[time.Duration]() {
		span, err := time.ParseDuration(text)
		if err != nil {
			d.fail(path, "must be a duration such as 30s or 1h30m, or a number of nanoseconds, not %q", text)
			return
		}
		dst.SetInt(int64(span))
		return
	}
	n, err := wholeNumber(src)
	switch {
	case err != nil:
		d.mismatch(path, "a whole number", src)
	case dst.OverflowInt(n):
		d.fail(path, "%d is out of range (%d bits)", n, dst.Type().Bits())
	default:
		dst.SetInt(n)
	}
}

func (d *decoder) unsigned(dst reflect.Value, src any, path string) {
	if num, ok := src.(json.Number); ok {
		if n, err := strconv.ParseUint(num.String(), 10, 64); err == nil && !dst.OverflowUint(n) {
			dst.SetUint(n)
			return
		}
	}
	n, err := wholeNumber(src)
	switch {
	case err != nil:
		d.mismatch(path, "a whole number that is not negative", src)
	case n < 0 || dst.OverflowUint(uint64(n)):
		d.fail(path, "%d is out of range (0 to %d)", n, uint64(math.MaxUint64)>>(64-dst.Type().Bits()))
	default:
		dst.SetUint(uint64(n))
	}
}

func (d *decoder) mismatch(path, want string, got any) {
	d.fail(path, "must be %s, not %s", want, describe(got))
}

// describe shows a value of a wrong type, briefly.
func describe(v any) string {
	switch v := v.(type) {
	case string:
		return "the string " + strconv.Quote(shorten(v))
	case bool:
		return strconv.FormatBool(v)
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	}
	return "the number " + shorten(fmt.Sprint(v))
}

// shorten keeps a message readable whatever the value.
func shorten(s string) string {
	const most = 40
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case bool:
		return !v
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	case json.Number:
		return v == "0"
	}
	return false
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
