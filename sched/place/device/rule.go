package device

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/relation"
	"github.com/steppe-project/steppe/sched/place/match"
)

// rule is a compiled constraint on a group of devices.
type rule struct {
	text     string
	target   string // without ${ and }
	operator string
	right    string
	match    match.Func
	amount   *quantity // of right, where that is a number with a unit
}

func newRule(left, operator, right string) *rule {
	r := &rule{
		text: strings.TrimSpace(left + " " + operator + " " + right), operator: operator, right: right, match: match.New(operator, right),
		target: strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(left), "${"), "}"),
	}
	if operator == "" {
		r.text = left + " = " + right
	}
	if q, ok := parseQuantity(right); ok && q.dimension != "" {
		r.amount = &q
	}
	return r
}

func (r *rule) unique() bool { return r.target == targetIDs }

// met tells whether a group's devices satisfy the rule. What they do not say is unequal to
// everything and in no other relation.
func (r *rule) met(d *model.NodeDeviceResource) bool {
	value, unit, has := resolve(d, r.target)
	switch {
	case r.operator == relation.IsSet:
		return has
	case r.operator == relation.IsNotSet:
		return !has
	case !has:
		return match.Negates(r.operator)
	case unit == "" && r.amount == nil:
		return r.match(value)
	}
	return r.compare(value, unit)
}

// compare compares amounts with units; those of different dimensions are only unequal.
func (r *rule) compare(value, unit string) bool {
	left, ok := parseQuantity(value + " " + unit)
	right := r.amount
	if right == nil { // a plain number is meant in the attribute's unit
		q, plain := parseQuantity(r.right + " " + unit)
		ok, right = ok && plain, &q
	}
	if !ok || left.dimension != right.dimension {
		return match.Negates(r.operator)
	}
	switch r.operator {
	case "=", "==", "is", "", "!=", "not", "<", "<=", ">", ">=":
		return match.InOrder(r.operator, cmp.Compare(left.amount, right.amount))
	}
	return r.match(value + " " + unit)
}

// Targets that rules on devices may look at; attributes follow the last.
const (
	targetVendor = "device.vendor"
	targetType   = "device.type"
	targetModel  = "device.model"
	targetIDs    = "device.ids"
	targetAttr   = "device.attr."
)

// resolve is what a group's devices say of a target.
func resolve(d *model.NodeDeviceResource, target string) (value, unit string, ok bool) {
	switch target {
	case targetVendor:
		return d.Vendor, "", true
	case targetType:
		return d.Type, "", true
	case targetModel:
		return d.Name, "", true
	case targetIDs:
		var ids []string
		for _, one := range d.Instances {
			if one != nil {
				ids = append(ids, one.ID)
			}
		}
		return strings.Join(ids, ","), "", true
	}
	name, ok := strings.CutPrefix(target, targetAttr)
	if !ok {
		return "", "", false
	}
	return Text(d.Attributes[name])
}

// Text is an attribute's value as constraints compare it; none of one that is nil.
func Text(a *model.Attribute) (value, unit string, ok bool) {
	switch {
	case a == nil:
		return "", "", false
	case a.StringVal != nil:
		return *a.StringVal, "", true
	case a.BoolVal != nil:
		return strconv.FormatBool(*a.BoolVal), "", true
	case a.IntVal != nil:
		return strconv.FormatInt(*a.IntVal, 10), a.Unit, true
	case a.FloatVal != nil:
		return strconv.FormatFloat(*a.FloatVal, 'g', -1, 64), a.Unit, true
	}
	return "", "", false
}

// quantity is an amount in the base unit of its dimension.
type quantity struct {
	amount    float64
	dimension string // "" for a plain number
}

// units are those of device attributes, as the plugin interface for devices names them.
var units = func() map[string]quantity {
	out := map[string]quantity{
		"": {1, ""}, "B": {1, "bytes"}, "B/s": {1, "bytes/s"},
		"mW": {1e-3, "watt"}, "W": {1, "watt"}, "kW": {1e3, "watt"}, "MW": {1e6, "watt"}, "GW": {1e9, "watt"},
		"MHz": {1e6, "hertz"}, "GHz": {1e9, "hertz"},
	}
	decimal, binary := 1.0, 1.0
	for _, prefix := range "kMGTPE" {
		decimal, binary = decimal*1000, binary*1024
		for unit, dimension := range map[string]string{"B": "bytes", "B/s": "bytes/s"} {
			out[string(prefix)+unit] = quantity{decimal, dimension}
			out[strings.ToUpper(string(prefix))+"i"+unit] = quantity{binary, dimension}
		}
	}
	out["kiB"], out["kiB/s"] = out["KiB"], out["KiB/s"]
	out["KB"], out["KB/s"] = out["kB"], out["kB/s"]
	return out
}()

// parseQuantity reads a number and its unit, with or without space between.
func parseQuantity(s string) (quantity, bool) {
	s = strings.TrimSpace(s)
	end := strings.LastIndexAny(s, "0123456789.") + 1
	amount, err := strconv.ParseFloat(s[:end], 64)
	if err != nil {
		return quantity{}, false
	}
	u, ok := units[strings.TrimSpace(s[end:])]
	return quantity{amount * u.amount, u.dimension}, ok
}
