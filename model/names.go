package model

import (
	"reflect"
	"strconv"
	"strings"
)

// Job files and problems speak of attributes by the job language's names, JSON
// by the fields' names. The rule that leads from one to the other (snake case,
// lists of blocks in the singular) and its exceptions stand here, once.

// attributeNames are the exceptions, by type and field; "" means that job files
// cannot set the field.
var attributeNames = map[string]map[string]string{
	"Job": {
		"TaskGroups": "group", "ParameterizedJob": "parameterized",
		"Stop": "", "ParentID": "", "Dispatched": "", "DispatchIdempotencyToken": "", "Payload": "",
		"ConsulNamespace": "", "VaultNamespace": "", "NomadTokenID": "", "Status": "", "StatusDescription": "",
		"Stable": "", "Version": "", "SubmitTime": "", "CreateIndex": "", "ModifyIndex": "", "JobModifyIndex": "", "VersionTag": "",
	},
	"TaskGroup":       {"RestartPolicy": "restart", "ReschedulePolicy": "reschedule"},
	"Constraint":      {"LTarget": "attribute", "RTarget": "value", "Operand": "operator"},
	"Affinity":        {"LTarget": "attribute", "RTarget": "value", "Operand": "operator"},
	"Spread":          {"SpreadTarget": "target"},
	"EphemeralDisk":   {"SizeMB": "size"},
	"PeriodicConfig":  {"Spec": "cron", "Specs": "crons", "SpecType": ""},
	"ScalingPolicy":   {"ID": "", "Namespace": "", "Target": "", "CreateIndex": "", "ModifyIndex": ""},
	"Resources":       {"MemoryMB": "memory", "MemoryMaxMB": "memory_max", "DiskMB": "disk", "SecretsMB": "secrets"},
	"NetworkResource": {"ReservedPorts": "reserved_ports", "DynamicPorts": "port", "MBits": "mbits"},
	"Port":            {"Value": "static"},
	"Task":            {"RestartPolicy": "restart", "LogConfig": "logs", "CSIPluginConfig": "csi_plugin", "ScalingPolicies": "scaling", "Identity": ""},
	"LogConfig":       {"MaxFileSizeMB": "max_file_size"},
	"TaskArtifact": {"GetterSource": "source", "GetterOptions": "options", "GetterHeaders": "headers", "GetterMode": "mode",
		"GetterInsecure": "insecure", "RelativeDest": "destination"},
	"Template": {
		"SourcePath": "source", "DestPath": "destination", "EmbeddedTmpl": "data", "Envvars": "env",
		"LeftDelim": "left_delimiter", "RightDelim": "right_delimiter", "ErrMissingKey": "error_on_missing_key",
	},
	"VolumeMount":      {"SELinuxLabel": "selinux_label"},
	"WorkloadIdentity": {"Audience": "aud"},
	"Service":          {"PortLabel": "port", "TaskName": "task"},
	"ServiceCheck":     {"PortLabel": "port", "TaskName": "task"},
}

// blockLabels names the field that a block's label sets, by type.
var blockLabels = map[string]string{
	"TaskGroup": "Name", "Task": "Name", "Port": "Label", "RequestedDevice": "Name", "VolumeRequest": "Name",
	"Secret": "Name", "Action": "Name", "Dependency": "Name", "MultiregionRegion": "Name", "SpreadTarget": "Value",
}

// AttributeName is the job language's name of a field of a model struct, or ""
// when job files cannot set it. A field of structs is a block, its name in the
// singular.
func AttributeName(t reflect.Type, f reflect.StructField) string {
	if name, ok := attributeNames[t.Name()][f.Name]; ok {
		return name
	}
	name := snakeCase(f.Name)
	if !holdsBlocks(f.Type) {
		return name
	}
	if stem, ok := strings.CutSuffix(name, "ies"); ok {
		return stem + "y"
	}
	return strings.TrimSuffix(name, "s")
}

// LabelField is the name of the field that the label of a block of type t
// sets, or "" when such blocks have none.
func LabelField(t reflect.Type) string { return blockLabels[t.Name()] }

// holdsBlocks says whether a field holds several blocks.
func holdsBlocks(t reflect.Type) bool {
	if t.Kind() != reflect.Slice && t.Kind() != reflect.Map {
		return false
	}
	e := t.Elem()
	if e.Kind() == reflect.Pointer {
		e = e.Elem()
	}
	return e.Kind() == reflect.Struct
}

// snakeCase turns a Go name into the job language's: GRPCUseTLS → grpc_use_tls.
func snakeCase(s string) string {
	upper := func(i int) bool { return s[i] >= 'A' && s[i] <= 'Z' }
	var b strings.Builder
	for i := range len(s) {
		if upper(i) && i > 0 && (!upper(i-1) || i+1 < len(s) && !upper(i+1)) {
			b.WriteByte('_')
		}
		b.WriteString(strings.ToLower(s[i : i+1]))
	}
	return b.String()
}

// Path names a place in a job, in the job language's words:
// job.group["web"].task["app"].resources.cpu. Blocks with a label carry it,
// repeated blocks without one their index from 0. Of blocks with the same
// label the second is job.group["web"]#2.
type Path string

// JobPath is the root of every path.
const JobPath Path = "job"

// Attr is the path of an attribute or of a block that occurs at most once.
func (p Path) Attr(name string) Path { return p + "." + Path(name) }

// Label is the path of a block with a label.
func (p Path) Label(block, label string) Path {
	return p.Attr(block) + Path("["+strconv.Quote(label)+"]")
}

// Index is the path of the i-th (from 0) of several blocks without label.
func (p Path) Index(block string, i int) Path { return p.Attr(block) + Path("["+strconv.Itoa(i)+"]") }

// Key is the path of an element of a map such as env or meta.
func (p Path) Key(key string) Path { return p + Path("["+strconv.Quote(key)+"]") }

// Occurrence is the path of the n-th (from 1) block of the same label.
func (p Path) Occurrence(n int) Path {
	if n <= 1 {
		return p
	}
	return p + Path("#"+strconv.Itoa(n))
}
