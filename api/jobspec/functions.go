package jobspec

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/hashicorp/go-cty-funcs/cidr"
	"github.com/hashicorp/go-cty-funcs/crypto"
	"github.com/hashicorp/go-cty-funcs/encoding"
	"github.com/hashicorp/go-cty-funcs/filesystem"
	"github.com/hashicorp/go-cty-funcs/uuid"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	ctyyaml "github.com/zclconf/go-cty-yaml"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"

	"github.com/steppe-project/steppe/model"
)

// Bounds of single functions, whose result can be much larger than their
// arguments or take much longer.
const (
	maxProduct    = 4 << 20 // bytes or elements of a result
	maxFormatText = 4       // digits of a width or precision
	maxBcryptCost = 12      // a quarter of a second
	maxYAMLBytes  = 1 << 20
	maxAliases    = 20 // of one YAML text: each can double the value
)

// functions are those of the job language. Files are read only where fs
// allows, relative to baseDir.
func functions(fs bool, baseDir string) map[string]function.Function {
	all := map[string]function.Function{
		"abs": stdlib.AbsoluteFunc, "base64decode": encoding.Base64DecodeFunc, "base64encode": encoding.Base64EncodeFunc,
		"basename": filesystem.BasenameFunc, "bcrypt": bounded(crypto.BcryptFunc, checkBcrypt), "can": tryfunc.CanFunc,
		"ceil": stdlib.CeilFunc, "chomp": stdlib.ChompFunc, "chunklist": stdlib.ChunklistFunc, "cidrhost": cidr.HostFunc,
		"cidrnetmask": cidr.NetmaskFunc, "cidrsubnet": cidr.SubnetFunc, "cidrsubnets": cidr.SubnetsFunc,
		"coalesce": stdlib.CoalesceFunc, "coalescelist": stdlib.CoalesceListFunc, "compact": stdlib.CompactFunc,
		"concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc, "convert": typeexpr.ConvertFunc,
		"csvdecode": stdlib.CSVDecodeFunc, "dirname": filesystem.DirnameFunc, "distinct": stdlib.DistinctFunc,
		"element": stdlib.ElementFunc, "flatten": stdlib.FlattenFunc, "floor": stdlib.FloorFunc,
		"format": bounded(stdlib.FormatFunc, checkFormat), "formatdate": stdlib.FormatDateFunc,
		"formatlist": bounded(stdlib.FormatListFunc, checkFormat), "indent": bounded(stdlib.IndentFunc, checkIndent),
		"index": stdlib.IndexFunc, "join": bounded(stdlib.JoinFunc, checkJoin),
		"jsondecode": bounded(stdlib.JSONDecodeFunc, checkJSON), "jsonencode": stdlib.JSONEncodeFunc,
		"keys": stdlib.KeysFunc, "length": stdlib.LengthFunc, "log": stdlib.LogFunc, "lookup": stdlib.LookupFunc,
		"lower": stdlib.LowerFunc, "max": stdlib.MaxFunc, "md5": crypto.Md5Func, "merge": stdlib.MergeFunc,
		"min": stdlib.MinFunc, "parseint": stdlib.ParseIntFunc, "pow": stdlib.PowFunc, "range": stdlib.RangeFunc,
		"regex_replace": bounded(stdlib.RegexReplaceFunc, checkReplace), "replace": bounded(stdlib.ReplaceFunc, checkReplace),
		"reverse": stdlib.ReverseListFunc, "rsadecrypt": crypto.RsaDecryptFunc, "setintersection": stdlib.SetIntersectionFunc,
		"setproduct": bounded(stdlib.SetProductFunc, checkSetProduct), "setunion": stdlib.SetUnionFunc,
		"sha1": crypto.Sha1Func, "sha256": crypto.Sha256Func, "sha512": crypto.Sha512Func, "signum": stdlib.SignumFunc,
		"slice": stdlib.SliceFunc, "sort": stdlib.SortFunc, "split": stdlib.SplitFunc, "strlen": stdlib.StrlenFunc,
		"strrev": stdlib.ReverseFunc, "substr": stdlib.SubstrFunc, "timeadd": stdlib.TimeAddFunc, "title": stdlib.TitleFunc,
		"trim": stdlib.TrimFunc, "trimprefix": stdlib.TrimPrefixFunc, "trimspace": stdlib.TrimSpaceFunc,
		"trimsuffix": stdlib.TrimSuffixFunc, "try": tryfunc.TryFunc, "upper": stdlib.UpperFunc,
		"urlencode": encoding.URLEncodeFunc, "uuidv4": uuid.V4Func, "uuidv5": uuid.V5Func, "values": stdlib.ValuesFunc,
		"yamldecode": bounded(ctyyaml.YAMLDecodeFunc, checkYAML), "yamlencode": ctyyaml.YAMLEncodeFunc, "zipmap": stdlib.ZipmapFunc,

		"abspath": filesystem.AbsPathFunc, "file": filesystem.MakeFileFunc(baseDir, false),
		"filebase64": filesystem.MakeFileFunc(baseDir, true), "fileexists": filesystem.MakeFileExistsFunc(baseDir),
		"fileset": filesystem.MakeFileSetFunc(baseDir), "pathexpand": filesystem.PathExpandFunc,
	}
	if !fs {
		for _, name := range []string{"abspath", "file", "filebase64", "fileexists", "fileset", "pathexpand"} {
			all[name] = bounded(all[name], func([]cty.Value) error {
				return fmt.Errorf("the function %s reads the machine's files, which is not allowed here", name)
			})
		}
	}
	return all
}

// bounded is f behind a check of its arguments.
func bounded(f function.Function, check func(args []cty.Value) error) function.Function {
	return function.New(&function.Spec{
		Description: f.Description(),
		Params:      f.Params(),
		VarParam:    f.VarParam(),
		Type: func(args []cty.Value) (cty.Type, error) {
			if err := check(args); err != nil {
				return cty.NilType, err
			}
			return f.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return f.Call(args) },
	})
}

var errTooMuch = errors.New("the result would be too large")

func atMost(size float64) error {
	if size > maxProduct {
		return errTooMuch
	}
	return nil
}

// textSize is the length of a known string, else 0.
func textSize(v cty.Value) float64 {
	if v.Type() != cty.String || v.IsNull() || !v.IsKnown() {
		return 0
	}
	return float64(len(v.AsString()))
}

// length is the number of elements of a known collection, else 0.
func length(v cty.Value) float64 {
	if v.IsNull() || !v.IsKnown() || !v.CanIterateElements() {
		return 0
	}
	return float64(v.LengthInt())
}

func number(v cty.Value) float64 {
	if v.Type() != cty.Number || v.IsNull() || !v.IsKnown() {
		return 0
	}
	f, _ := v.AsBigFloat().Float64()
	return f
}

func checkBcrypt(args []cty.Value) error {
	if len(args) > 1 && number(args[1]) > maxBcryptCost {
		return fmt.Errorf("a cost above %d takes too long", maxBcryptCost)
	}
	return nil
}

// Compiled when used, as all here: these are large, and most processes of the
// program parse no jobs.
var longWidth = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(fmt.Sprintf(`%%[^a-zA-Z%%]*[0-9]{%d}`, maxFormatText+1))
})

func checkFormat(args []cty.Value) error {
	if len(args) > 0 && textSize(args[0]) > 0 && longWidth().MatchString(args[0].AsString()) {
		return errTooMuch
	}
	most := 1.0
	for _, a := range args {
		most = max(most, length(a))
	}
	return atMost(most * textSize(args[0]))
}

func checkIndent(args []cty.Value) error {
	if textSize(args[1]) == 0 {
		return nil
	}
	return atMost(number(args[0]) * float64(1+strings.Count(args[1].AsString(), "\n")))
}

func checkJoin(args []cty.Value) error {
	n := 0.0
	for _, a := range args[1:] {
		n += length(a)
	}
	return atMost(n * textSize(args[0]))
}

func checkReplace(args []cty.Value) error {
	return atMost(textSize(args[0]) * max(1, textSize(args[2])))
}

func checkSetProduct(args []cty.Value) error {
	n := 1.0
	for _, a := range args {
		n *= max(1, length(a))
	}
	return atMost(n * float64(max(1, len(args))))
}

func checkJSON(args []cty.Value) error {
	if textSize(args[0]) == 0 {
		return nil
	}
	if _, deep := model.TooDeep([]byte(args[0].AsString())); deep {
		return fmt.Errorf("the JSON nests deeper than %d levels", model.MaxNesting)
	}
	return nil
}

var (
	yamlAlias    = regexp.MustCompile(`(?:^|[\s,\[{:])\*[^\s,\]}]`)
	yamlCompound = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(fmt.Sprintf(`(?:[-?:][ \t]+){%d}`, model.MaxNesting))
	})
)

func checkYAML(args []cty.Value) error {
	if textSize(args[0]) == 0 {
		return nil
	}
	text := args[0].AsString()
	if len(text) > maxYAMLBytes {
		return errTooMuch
	}
	depth, deepest := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ']', '}':
			depth = max(0, depth-1)
		}
	}
	if deepest > model.MaxNesting || yamlCompound().MatchString(text) {
		return fmt.Errorf("the YAML nests deeper than %d levels", model.MaxNesting)
	}
	if len(yamlAlias.FindAllStringIndex(text, maxAliases+1)) > maxAliases {
		return fmt.Errorf("the YAML has more than %d aliases", maxAliases)
	}
	return nil
}
