package place

import (
	"strconv"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/relation"
)

// kind orders the outcomes of a check: the later, the nearer to a placement.
type kind uint8

const (
	kindAbsent    kind = iota // no such node
	kindOutside               // other datacenter or pool
	kindUnready               // down, draining, ineligible
	kindFiltered              // a driver, constraint or network is missing
	kindExhausted             // it has too little left
	kindFits
)

// Texts of the reasons that are not a constraint's own.
const (
	ReasonDrivers       = "missing drivers"
	ReasonDistinctHosts = relation.DistinctHosts
	reasonAbsent        = "node no longer exists"
	missingNetwork      = "missing host network "
)

// verdict is an outcome with the number of its reason.
type verdict struct {
	kind   kind
	reason int32
}

// Checker is the feasibility function of one ask: what the scheduler, the
// verifier and the remedies ask of a node. Outcomes on shared attributes are
// kept by computed class.
type Checker struct {
	board   *Board
	ask     *Ask
	need    need
	classes map[string]*classOutcome
	lastIs  *classOutcome
	lately  [4]*classOutcome // neighbours are often of the same few classes
	oldest  uint8            // of them
	reasons []reason         // [0] is none
	numbers map[string]int32
	values  []map[string]int // of each distinct property: instances by value
}

// classOutcome is what holds for all nodes of a class, and how many of them had
// which outcome in the last scan.
type classOutcome struct {
	class     string
	verdict   verdict
	dc        string
	nodeClass string
	inPool    bool
	lane      int32   // of a selection, plus 1; 0 when it is not known
	liked     float64 // unless the ask's affinities tell single nodes apart
	nodes     [kindFits + 1]int
}

// reason is why a node is no candidate, and of how many in the last scan.
type reason struct {
	text  string
	kind  kind
	nodes int
}

// Checker makes the feasibility function of an ask on the board as it is and will be.
func (b *Board) Checker(a *Ask) *Checker {
	k := b.checker(a)
	if len(a.distinct) > 0 {
		b.watch = append(b.watch, k)
	}
	return k
}

// checker makes one for the board as it is now.
func (b *Board) checker(a *Ask) *Checker {
	k := &Checker{
		board: b, ask: a, need: a.need(), classes: make(map[string]*classOutcome),
		reasons: make([]reason, 1), numbers: make(map[string]int32), values: make([]map[string]int, len(a.distinct)),
	}
	for i, d := range a.distinct {
		k.values[i] = make(map[string]int)
		rows := b.groups[a.Group.Name]
		if d.job {
			rows = b.job
		}
		for row, n := range rows {
			k.countValue(i, row, int(n))
		}
	}
	return k
}

// bump follows a change of the board's counts.
func (k *Checker) bump(row int32, group string, sign int32) {
	for i, d := range k.ask.distinct {
		if d.job || group == k.ask.Group.Name {
			k.countValue(i, row, int(sign))
		}
	}
}

func (k *Checker) countValue(i int, row int32, n int) {
	if v, ok := k.valueOf(i, row); ok {
		k.values[i][v] += n
	}
}

// valueOf is what a row has of a distinct property.
func (k *Checker) valueOf(i int, row int32) (string, bool) {
	c, at := k.board.fleet.at(row)
	if c.info[at] == nil {
		return "", false
	}
	return k.ask.distinct[i].value.resolve(c.info[at].node, k.ask.Job.Region)
}

// because makes a verdict with a reason.
func (k *Checker) because(kind kind, text string) verdict {
	n, ok := k.numbers[text]
	if !ok {
		n = int32(len(k.reasons))
		k.reasons = append(k.reasons, reason{text: text, kind: kind})
		k.numbers[text] = n
	}
	return verdict{kind, n}
}

// row is the whole check of one row.
func (k *Checker) row(row int32) verdict {
	c, i := k.board.fleet.at(row)
	if c.info[i] == nil {
		return verdict{kind: kindAbsent}
	}
	v := k.class(c, i).verdict
	switch {
	case v.kind == kindOutside:
		return v
	case !c.ready[i]:
		return k.because(kindUnready, unreadyText(c.info[i].node))
	case v.kind == kindFiltered:
		return v
	}
	if reason := k.single(row, c.info[i].node); reason != "" {
		return k.because(kindFiltered, reason)
	}
	if lack := k.board.fleet.fit(row, &k.need); lack != "" {
		return k.because(kindExhausted, lack)
	}
	return verdict{kind: kindFits}
}

// scan checks all rows, counts the outcomes, and calls fits for those that fit.
func (k *Checker) scan(fits func(row int32)) {
	for _, o := range k.classes {
		o.nodes = [kindFits + 1]int{}
	}
	for i := range k.reasons {
		k.reasons[i].nodes = 0
	}
	for row := range int32(k.board.fleet.rows()) {
		v := k.row(row)
		if v.kind == kindAbsent {
			continue
		}
		k.lastIs.nodes[v.kind]++
		k.reasons[v.reason].nodes++
		if v.kind == kindFits && fits != nil {
			fits(row)
		}
	}
}

// class is what holds for all nodes of the row's computed class.
func (k *Checker) class(c *chunk, i int) *classOutcome {
	for _, o := range k.lately {
		if o != nil && o.class == c.class[i] {
			k.lastIs = o
			return o
		}
	}
	o := k.classes[c.class[i]]
	if o == nil {
		n := c.info[i].node
		o = &classOutcome{class: c.class[i], verdict: k.shared(c.info[i]), dc: n.Datacenter, nodeClass: n.NodeClass, inPool: k.ask.inPool(n.NodePool)}
		if k.ask.prefers && !k.ask.likesIDs {
			o.liked = k.ask.likes(n)
		}
		k.classes[c.class[i]] = o
	}
	k.lately[k.oldest], k.lastIs = o, o
	k.oldest = (k.oldest + 1) % uint8(len(k.lately))
	return o
}

func (k *Checker) shared(info *nodeInfo) verdict {
	n := info.node
	if !k.ask.inPool(n.NodePool) {
		return k.because(kindOutside, "node pool "+strconv.Quote(n.NodePool)+" is not "+strconv.Quote(k.ask.Pool))
	}
	if !k.ask.inDC(n.Datacenter) {
		return k.because(kindOutside, "datacenter "+strconv.Quote(n.Datacenter)+" is not among the job's")
	}
	for _, d := range k.ask.Drivers {
		if !hasDriver(n, d) {
			return k.because(kindFiltered, ReasonDrivers)
		}
	}
	for _, r := range k.ask.rules {
		if !r.escaped() && !r.met(n, k.ask.Job.Region) {
			return k.because(kindFiltered, r.text)
		}
	}
	if len(k.ask.Devices) > 0 {
		if lack := k.ask.lacksDevice(n, false); lack != "" {
			return k.because(kindFiltered, lack)
		}
	}
	for i := range k.ask.Ports {
		p := &k.ask.Ports[i]
		if name := networkOf(p); len(info.networks[name]) == 0 {
			return k.because(kindFiltered, missingNetwork+strconv.Quote(name)+" for port "+strconv.Quote(p.Label))
		}
	}
	return verdict{kind: kindFits}
}

// lacksDevice tells which of the ask's devices a node has none of, or "": of those that
// tell single nodes apart, or of the others.
func (a *Ask) lacksDevice(n *model.Node, unique bool) string {
	var devices []*model.NodeDeviceResource
	if n.NodeResources != nil {
		devices = n.NodeResources.Devices
	}
	for i := range a.Devices {
		if a.Devices[i].Unique != unique {
			continue
		}
		if lack := a.Devices[i].Lacks(devices); lack != "" {
			return lack
		}
	}
	return ""
}

// single is what only this node can say: unique attributes and its neighbours.
func (k *Checker) single(row int32, n *model.Node) string {
	if k.ask.escaped {
		for _, r := range k.ask.rules {
			if r.escaped() && !r.met(n, k.ask.Job.Region) {
				return r.text
			}
		}
		if lack := k.ask.lacksDevice(n, true); lack != "" {
			return lack
		}
	}
	if k.ask.jobHosts && k.board.job[row] > 0 || k.ask.hosts && k.board.groups[k.ask.Group.Name][row] > 0 {
		return ReasonDistinctHosts
	}
	for i, d := range k.ask.distinct {
		v, ok := d.value.resolve(n, k.ask.Job.Region)
		if !ok || k.values[i][v] >= d.limit {
			return d.text
		}
	}
	return ""
}

// Admits tells whether a node is one that the ask may run on, and why not:
// pool, datacenter, drivers, constraints, networks, distinct hosts and
// properties. With ready, the node must also take new work.
func (k *Checker) Admits(nodeID string, ready bool) string {
	row, ok := k.board.fleet.row(nodeID)
	if !ok {
		return reasonAbsent
	}
	c, i := k.board.fleet.at(row)
	if c.info[i] == nil {
		return reasonAbsent
	}
	if ready && !c.ready[i] {
		return unreadyText(c.info[i].node)
	}
	if v := k.class(c, i).verdict; v.kind != kindFits {
		return k.reasons[v.reason].text
	}
	return k.single(row, c.info[i].node)
}

// Holds tells whether a node has what a grant names, and what it lacks.
func (k *Checker) Holds(nodeID string, d *Demand) string {
	row, ok := k.board.fleet.row(nodeID)
	if !ok {
		return reasonAbsent
	}
	if c, i := k.board.fleet.at(row); c.info[i] == nil {
		return reasonAbsent
	}
	n := d.need()
	return k.board.fleet.fit(row, &n)
}

// hasDriver tells whether a driver is detected and healthy on a node. Nodes that
// do not report drivers one by one say it with an attribute.
func hasDriver(n *model.Node, name string) bool {
	if d := n.Drivers[name]; d != nil {
		return d.Detected && d.Healthy
	}
	ok, err := strconv.ParseBool(n.Attributes["driver."+name])
	return ok && err == nil
}

func unreadyText(n *model.Node) string {
	switch {
	case n.Status == model.NodeStatusDown:
		return "node is " + model.NodeStatusDown // a constant: thousands may be
	case n.Status != model.NodeStatusReady:
		return "node is " + n.Status
	case n.DrainStrategy != nil:
		return "node is draining"
	}
	return "node is not eligible"
}
