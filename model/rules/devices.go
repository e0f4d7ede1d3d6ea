package rules

import (
	"fmt"
	"strings"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/relation"
)

// maxDevices bounds what one request asks for: no machine has as many equal devices.
const maxDevices = 1024

// devices checks what a group's tasks ask for of devices, but for what model.Validate does.
func (c *checker) devices(p model.Path, g *model.TaskGroup) {
	for _, t := range g.Tasks {
		if t == nil || t.Resources == nil {
			continue
		}
		seen := map[string]int{}
		for _, d := range t.Resources.Devices {
			if d == nil {
				continue
			}
			seen[d.Name]++
			c.device(p.Label("task", t.Name).Attr("resources").Label("device", d.Name).Occurrence(seen[d.Name]), d)
		}
	}
}

func (c *checker) device(p model.Path, d *model.RequestedDevice) {
	if parts := strings.SplitN(d.Name, "/", 3); strings.Contains("/"+d.Name+"/", "//") || len(parts) > 2 && parts[2] == "" {
		c.add(p, fmt.Sprintf("%.60q is not the name of devices", d.Name), `write a type, vendor/type or vendor/type/name, such as "nvidia/gpu"`)
	}
	if d.Count > maxDevices {
		c.add(p.Attr("count"), fmt.Sprintf("must be at most %d, but is %d", maxDevices, d.Count), "")
	}
	for i, r := range d.Constraints {
		if r != nil {
			c.aboutDevice(p.Index("constraint", i), r.LTarget, r.Operand)
		}
	}
	for i, f := range d.Affinities {
		if f == nil {
			continue
		}
		at := p.Index("affinity", i)
		c.aboutDevice(at, f.LTarget, f.Operand)
		if fault, hint := relation.Fault(f.LTarget, f.Operand, f.RTarget); fault != "" {
			c.add(at, fault, hint)
		}
		if f.Weight == 0 || f.Weight < -100 || f.Weight > 100 {
			c.add(at.Attr("weight"), fmt.Sprintf("must be -100 to 100 and not 0, but is %d", f.Weight), "negative weights avoid devices")
		}
	}
}

// aboutDevice refuses what is asked of a device and is not about devices.
func (c *checker) aboutDevice(p model.Path, target, operator string) {
	if relation.OfPeers(operator) {
		c.add(p, operator+" cannot be asked of a device", "write it as a constraint of the group or the job")
		return
	}
	inner, ok := strings.CutPrefix(strings.TrimSpace(target), "${device.")
	name, isAttr := strings.CutPrefix(strings.TrimSuffix(inner, "}"), "attr.")
	switch {
	case ok && isAttr && name != "":
	case ok && (inner == "vendor}" || inner == "type}" || inner == "model}" || inner == "ids}"):
	default:
		c.add(p.Attr("attribute"), fmt.Sprintf("%.60q does not look at a device", target), "write ${device.vendor}, ${device.type}, ${device.model}, ${device.ids} or ${device.attr.<name>}; constraints on the node go into the task, the group or the job")
	}
}
