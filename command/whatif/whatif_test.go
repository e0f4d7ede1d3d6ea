package whatif

import (
	"reflect"
	"strings"
	"testing"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/insight"
)

func TestNodes(t *testing.T) {
	rule := func(l, o, r string) *model.Constraint { return &model.Constraint{LTarget: l, Operand: o, RTarget: r} }
	for text, want := range map[string]*insight.Selection{
		"node7":                         {Node: "node7"},
		"node:a=b":                      {Node: "a=b"},
		"dc:dc2,class:c5":               {Datacenter: "dc2", Class: "c5"},
		"pool:gpu, meta.rack=r1":        {Pool: "gpu", Rules: []*model.Constraint{rule("${meta.rack}", "=", "r1")}},
		"attr.a>=2,attr.b!=x,attr.c<=y": {Rules: []*model.Constraint{rule("${attr.a}", ">=", "2"), rule("${attr.b}", "!=", "x"), rule("${attr.c}", "<=", "y")}},
		"meta.url=http://x:1":           {Rules: []*model.Constraint{rule("${meta.url}", "=", "http://x:1")}},
	} {
		if got, err := Nodes(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"": "are named by a name", "a,b": "are named by a name", "dc:": "one dc is to be named", "dc:a,dc:b": "one dc is to be named", "rack=r1": "begins with none of",
	} {
		if _, err := Nodes(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestScale(t *testing.T) {
	for text, want := range map[string]insight.Scaling{
		"web=5": {JobID: "web", Count: 5}, "web/g=+3": {JobID: "web", Group: "g", Count: 3, Relative: true},
		"a/b/g=-2": {JobID: "a/b", Group: "g", Count: -2, Relative: true},
	} {
		if got, err := Scale(text); err != nil || *got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"web", "web=", "=3", "web=x"} {
		if _, err := Scale(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
