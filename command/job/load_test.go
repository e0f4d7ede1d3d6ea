package job

import (
	"strings"
	"testing"
)

// TestRegionOfAFile: only a region that the file names decides where the job goes.
func TestRegionOfAFile(t *testing.T) {
	group := "group \"g\" {\n task \"t\" {\n driver = \"raw_exec\"\n }\n}\n"
	for src, want := range map[string]string{
		"job \"x\" {\n region = \"west\"\n" + group + "}\n":      "west",
		"job \"x\" {\n region = \"global\"\n" + group + "}\n":    "global",
		"job \"x\" {\n" + group + "}\n":                          "",
		`{"Job": {"ID": "x", "Region": "west"}}`:                 "west",
		`{"Job": {"ID": "x", "Region": "global"}}`:               "",
		`{"ID": "x", "TaskGroups": [{"Name": "g", "Count": 1}]}`: "",
	} {
		l, err := (&fileOptions{strict: true}).load(strings.NewReader(src), "-")
		if err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		if l.region != want {
			t.Errorf("%s: region %q, want %q", src, l.region, want)
		}
	}
}
