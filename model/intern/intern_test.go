package intern

import (
	"maps"
	"strings"
	"testing"
	"unsafe"

	"github.com/steppe-project/steppe/model"
)

func TestNode(t *testing.T) {
	fresh := func() *model.Node {
		return &model.Node{
			Datacenter: strings.Clone("dc1"), Attributes: map[string]string{strings.Clone("kernel.name"): strings.Clone("linux")},
			Meta: map[string]string{},
		}
	}
	a, b, plain := fresh(), fresh(), fresh()
	given := a.Attributes
	Node(a)
	Node(b)
	if !maps.Equal(a.Attributes, plain.Attributes) || a.Meta == nil || a.Datacenter != "dc1" {
		t.Errorf("it means something else now: %+v", a)
	}
	if unsafe.StringData(a.Attributes["kernel.name"]) != unsafe.StringData(b.Attributes["kernel.name"]) {
		t.Error("equal values are not shared")
	}
	if given["other"] = "x"; len(a.Attributes) != 1 {
		t.Error("the given map is still in use")
	}
	if Node(plain); plain.Meta == nil {
		t.Error("an empty map became none")
	}
	empty := &model.Node{}
	if Node(empty); empty.Attributes != nil {
		t.Error("no map became an empty one")
	}
	given = a.Attributes
	if Like(b, a); len(b.Attributes) != 1 {
		t.Errorf("it means something else now: %+v", b)
	}
	given["probe"] = "x"
	if b.Attributes["probe"] != "x" {
		t.Error("equal maps are not one")
	}
	c := fresh()
	if Like(c, a); len(c.Attributes) != 1 {
		t.Error("different maps became one")
	}
}
