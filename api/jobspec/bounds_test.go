package jobspec

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/steppe-project/steppe/model"
)

// Bad input ends with a clear error, soon, whatever it is made of.
func TestHostileInput(t *testing.T) {
	deep := strings.Repeat
	for _, c := range []struct{ name, src, want string }{
		{"50 MB", deep("#", 50<<20), "at most"},
		{"brackets", "job \"a\" { meta = " + deep("[", 1<<17), "nests deeper"},
		{"objects", "job \"a\" { meta = " + deep("{a=", 30_000), "nests deeper"},
		{"blocks", deep("a {\n", 40_000), "nests deeper"},
		{"parentheses", "locals { a = " + deep("(", 1<<17), "nests deeper"},
		{"quotes", "locals { a = " + deep(`"${`, 50_000), "nests deeper"},
		{"not", "locals { a = " + deep("!", 1<<17), "nests deeper"},
		{"minus", "locals { a = " + deep("-", 1<<17), "nests deeper"},
		{"conditions", "locals { a = " + deep("true ? 1 : ", 30_000) + "1 }", "nests deeper"},
		{"directives", "locals { a = \"" + deep("%{if true}", 30_000) + "\" }", "nests deeper"},
		{"JSON arrays", `{"job": {"a": {"meta": ` + deep("[", 1<<17), "nests deeper"},
		{"JSON objects", deep(`{"a":`, 30_000), "nests deeper"},
		{"JSON template", `{"job": {"a": {"name": "` + deep("${[", 30_000) + `"}}}`, "nests deeper"},
		{"unclosed JSON string", `{"` + deep("[", 1<<18) + "\n" + deep("[", 1<<18), "nests deeper"},
		{"2,000 negative numbers", "job \"a\" {}\nlocals { a = [" + deep("-1, ", 4000) + "] }", ""},
		{"NUL", "job \"a\x00\" {}", ""},
		{"not UTF-8", "job \"\xff\" {}", ""},
		{"doubling text", doubling(`"${local.%s}${local.%s}"`, `"xxxxxxxxxxxxxxxx"`, 60), "too much"},
		{"doubling list", doubling(`[local.%s, local.%s]`, `["x"]`, 60), "elements"},
		{"squaring number", doubling(`local.%s * local.%s`, `1e300`, 40), "out of range"},
		{"number with a large exponent", "locals { a = \"x${1e99999999}\" }", "out of range"},
		{"number beyond all", "locals { a = 1e999999999 }", "out of range"},
		{"number that is tiny", "locals { a = \"x${1e-99999999}\" }", "out of range"},
		{"loop in loop in loop", `locals { a = [for x in range(1000) : [for y in range(1000) : [for z in range(1000) : z]]] }`, "too much"},
		{"setproduct", `locals { a = setproduct(range(1000), range(1000), range(1000)) }`, "too large"},
		{"replace", `locals { a = replace("` + deep("a", 10000) + `", "a", "` + deep("b", 10000) + `") }`, "too large"},
		{"join", `locals { a = join("` + deep("a", 100_000) + `", range(1000)) }`, "too large"},
		{"indent", `locals { a = indent(1000000000, "a\nb") }`, "too large"},
		{"format", `locals { a = format("%999999999d", 1) }`, "too large"},
		{"bcrypt", `locals { a = bcrypt("a", 31) }`, "too long"},
		{"jsondecode", `locals { a = jsondecode("` + deep("[", 100_000) + `") }`, "nests deeper"},
		{"yamldecode", `locals { a = yamldecode("` + deep("[", 100_000) + `") }`, "nests deeper"},
		{"yamldecode entries", `locals { a = yamldecode("` + deep("- ", 100_000) + `") }`, "nests deeper"},
		{"yamldecode aliases", `locals { a = yamldecode(<<EOF
a0: &a0 [x]
` + laughs(60) + `
EOF
) }`, "aliases"},
		{"dynamic in dynamic", `job "a" {
  dynamic "group" {
    for_each = range(1000)
    labels = ["g${group.value}"]
    content {
      dynamic "task" {
        for_each = range(1000)
        labels = ["t${task.value}"]
        content {}
      }
    }
  }
}`, "blocks"},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			_, err := Parse("job.hcl", []byte(c.src), Options{})
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %s", took)
			}
			if err == nil {
				if c.want != "" {
					t.Fatal("accepted")
				}
				return
			}
			if !strings.Contains(strings.ToLower(err.Error()), c.want) || len(err.Error()) > 20_000 {
				t.Errorf("error of %d bytes: %.300s, want %q", len(err.Error()), err, c.want)
			}
			if model.CodeOf(err) != model.CodeInvalid {
				t.Errorf("code %s", model.CodeOf(err))
			}
		})
	}
}

// doubling is a chain of locals, each made of the one before, twice.
func doubling(step, first string, n int) string {
	var b strings.Builder
	b.WriteString("locals {\n a0 = " + first + "\n")
	for i := 1; i < n; i++ {
		prev := "a" + itoa(i-1)
		b.WriteString(" a" + itoa(i) + " = " + strings.ReplaceAll(step, "%s", prev) + "\n")
	}
	return b.String() + "}\njob \"a\" {}\n"
}

func laughs(n int) string {
	var b strings.Builder
	for i := 1; i < n; i++ {
		b.WriteString("a" + itoa(i) + ": &a" + itoa(i) + " [*a" + itoa(i-1) + ", *a" + itoa(i-1) + "]\n")
	}
	return b.String()
}

func itoa(i int) string {
	data, _ := json.Marshal(i)
	return string(data)
}

func TestParseJSONHostile(t *testing.T) {
	for _, src := range []string{
		strings.Repeat("[", 1<<20), `{"Job":` + strings.Repeat(`{"TaskGroups":`, 100_000), "", "null", `{"Job":null}`, `{"Job":3}`,
	} {
		if _, _, err := ParseJSON([]byte(src)); err == nil {
			t.Errorf("%.20q is accepted", src)
		}
	}
}

// The functions of the job language, all of them.
func TestFunctionNames(t *testing.T) {
	names := strings.Fields(`abs abspath base64decode base64encode basename bcrypt can ceil chomp chunklist cidrhost
		cidrnetmask cidrsubnet cidrsubnets coalesce coalescelist compact concat contains convert csvdecode dirname
		distinct element file filebase64 fileexists fileset flatten floor format formatdate formatlist indent index join
		jsondecode jsonencode keys length log lookup lower max md5 merge min parseint pathexpand pow range regex_replace
		replace reverse rsadecrypt setintersection setproduct setunion sha1 sha256 sha512 signum slice sort split strlen
		strrev substr timeadd title trim trimprefix trimspace trimsuffix try upper urlencode uuidv4 uuidv5 values
		yamldecode yamlencode zipmap`)
	have := functions(false, ".")
	for _, n := range names {
		if _, ok := have[n]; !ok {
			t.Errorf("no function %s", n)
		}
	}
	if len(names) != 83 || len(have) != 83 {
		t.Errorf("%d functions of %d", len(have), len(names))
	}
}

func TestFunctions(t *testing.T) {
	for expr, want := range map[string]string{
		`upper("a")`:                            `"A"`,
		`join("-", ["a", "b"])`:                 `"a-b"`,
		`cidrhost("10.0.0.0/8", 5)`:             `"10.0.0.5"`,
		`jsondecode("{\"a\": [1]}").a[0]`:       `"1"`,
		`yamldecode("a: [1, 2]").a[1]`:          `"2"`,
		`convert("3", number) + 1`:              `"4"`,
		`convert(["a"], list(string))[0]`:       `"a"`,
		`try(var.none.x, "else")`:               `"else"`,
		`can(tonumber("x"))`:                    `"false"`,
		`regex_replace("abc", "b", "-")`:        `"a-c"`,
		`format("%s-%03d", "a", 7)`:             `"a-007"`,
		`base64encode("a")`:                     `"YQ=="`,
		`lookup({a = 1}, "b", 2)`:               `"2"`,
		`length(setproduct(["a"], ["b"]))`:      `"1"`,
		`trimprefix("v1", "v")`:                 `"1"`,
		`element(["a", "b"], 3)`:                `"b"`,
		`md5("a")`:                              `"0cc175b9c0f1b6a831c399e269772661"`,
		`timeadd("2020-01-01T00:00:00Z", "1h")`: `"2020-01-01T01:00:00Z"`,
	} {
		f, err := Parse("job.hcl", []byte(`variable "none" { default = {} }
job "a" {
  meta = { x = `+expr+` }
}`), Options{})
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		if got, _ := json.Marshal(f.Job.Meta["x"]); string(got) != want {
			t.Errorf("%s = %s, want %s", expr, got, want)
		}
	}
}

func TestFilesAreRelativeToTheJobFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.txt"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	src := []byte("job \"a\" {\n meta = { x = file(\"x.txt\") }\n}")
	f, err := Parse(filepath.Join(dir, "job.hcl"), src, Options{AllowFS: true})
	if err != nil || f.Job.Meta["x"] != "text" {
		t.Fatal(f, err)
	}
	if _, err := Parse(filepath.Join(dir, "job.hcl"), src, Options{}); err == nil || !strings.Contains(err.Error(), "not allowed") {
		t.Fatal(err)
	}
}

// Every field that job files can set has a path that the positions know.
func TestPositionsOfAllArguments(t *testing.T) {
	src := []byte(`job "a" {
  priority = 1
  meta = { a = "b" }
  group "g" {
    constraint { attribute = "x" }
    network {
      port "p" { to = 1 }
    }
    task "t" {
      env { A = "b" }
      config {
        image = "x"
        auth { user = "y" }
      }
    }
  }
}`)
	f, err := Parse("job.hcl", src, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"job", `job.group["g"]`, `job.group["g"].constraint[0]`, `job.group["g"].constraint[0].attribute`,
		`job.group["g"].network[0]`, `job.group["g"].network[0].port["p"]`, `job.group["g"].network[0].port["p"].to`,
		`job.group["g"].task["t"]`, `job.group["g"].task["t"].config`, `job.group["g"].task["t"].config["auth"]`,
		`job.group["g"].task["t"].config["auth"]["user"]`, `job.group["g"].task["t"].config["image"]`,
		`job.group["g"].task["t"].env`, `job.group["g"].task["t"].env["A"]`, "job.meta", "job.priority",
	}
	if got := f.Positions.Paths(); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	at, ok := f.Positions.Find(`job.group["g"].task["t"].resources.cpu`)
	if !ok || at.Line != 9 || string(src[at.StartByte:at.EndByte]) != `task "t"` {
		t.Errorf("%+v %v", at, ok)
	}
}

// The JSON of a parsed job is the same job: what the command sends is what the
// file says.
func TestJSONOfParsedJob(t *testing.T) {
	for _, row := range readIndex(t) {
		if row.valid != "yes" {
			continue
		}
		f, err := parseCorpusFile(t, row)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // as parsed, then canonical
			data, err := json.Marshal(f.Job)
			if err != nil {
				t.Fatal(err)
			}
			back, warnings, err := ParseJSON(data)
			if err != nil || len(warnings) > 0 {
				t.Fatal(row.path, err, warnings)
			}
			if !reflect.DeepEqual(f.Job, back) {
				t.Fatalf("%s differs after JSON", row.path)
			}
			f.Job.Canonicalize()
		}
	}
}
