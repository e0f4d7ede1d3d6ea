package model

import "strconv"

// services checks a group's services, or a task's when t is given. labels are
// the group's ports.
func (v *validator) services(p Path, g *TaskGroup, t *Task, services []*Service, labels map[string]bool) {
	seen := map[string]bool{}
	for i, s := range services {
		sp := p.Index("service", i)
		key := s.Name + "\x00" + s.PortLabel + "\x00" + s.Address
		if seen[key] {
			v.add(sp, "another name or port", "the service %q with port %q is announced twice", s.Name, s.PortLabel)
		}
		seen[key] = true
		v.service(sp, g, t, s, labels)
	}
}

func (v *validator) service(p Path, g *TaskGroup, t *Task, s *Service, labels map[string]bool) {
	if !PlainName(interpolation.ReplaceAllString(s.Name, "x"), maxPlainName, "._-") {
		v.add(p.Attr("name"), "letters, digits, -, _ and ., at most 128", "%q is not a service name", shorten(s.Name))
	}
	v.oneOf(p.Attr("provider"), s.Provider, "", ServiceProviderConsul, ServiceProviderNomad)
	v.oneOf(p.Attr("address_mode"), s.AddressMode, "", "auto", "host", "driver", "alloc", "alloc_ipv6")
	v.oneOf(p.Attr("on_update"), s.OnUpdate, "", "require_healthy", "ignore_warnings", "ignore")
	v.portOf(p.Attr("port"), s.PortLabel, t, labels)
	v.taskOf(p.Attr("task"), s.TaskName, g, t)
	v.checkRestart(p.Attr("check_restart"), s.CheckRestart)
	for i, c := range s.Checks {
		v.check(p.Index("check", i), g, t, s, c, labels)
	}
}

// portOf checks that a port is a number or a label that exists.
func (v *validator) portOf(p Path, port string, t *Task, labels map[string]bool) {
	if port == "" || interpolated(port) || labels[port] {
		return
	}
	if n, err := strconv.Atoi(port); err == nil {
		if n < 1 || n > MaxPort {
			v.add(p, "", "a port must be 1 to %d, not %d", MaxPort, n)
		}
		return
	}
	if t != nil && t.Resources != nil {
		for _, n := range t.Resources.Networks {
			for _, q := range append(copySlice(n.ReservedPorts), n.DynamicPorts...) {
				if q.Label == port {
					return
				}
			}
		}
	}
	v.add(p, "declare it in the group's network block", "there is no port with the label %q", shorten(port))
}

func (v *validator) taskOf(p Path, name string, g *TaskGroup, t *Task) {
	if name == "" {
		return
	}
	if t != nil {
		if name != t.Name {
			v.add(p, "", "the service of task %q cannot be of task %q", t.Name, shorten(name))
		}
		return
	}
	for _, other := range g.Tasks {
		if other.Name == name {
			return
		}
	}
	v.add(p, "", "there is no task %q in group %q", shorten(name), g.Name)
}

func (v *validator) check(p Path, g *TaskGroup, t *Task, s *Service, c *ServiceCheck, labels map[string]bool) {
	v.oneOf(p.Attr("type"), c.Type, "http", "tcp", "grpc", "script")
	if c.Interval < minCheck {
		v.add(p.Attr("interval"), "", "must be at least %s, but is %s", minCheck, c.Interval)
	}
	if c.Timeout < minCheck {
		v.add(p.Attr("timeout"), "", "must be at least %s, but is %s", minCheck, c.Timeout)
	}
	v.portOf(p.Attr("port"), c.PortLabel, t, labels)
	v.taskOf(p.Attr("task"), c.TaskName, g, t)
	switch c.Type {
	case "http":
		if c.Path == "" {
			v.add(p.Attr("path"), `path = "/"`, "an http check needs a path")
		}
		v.oneOf(p.Attr("protocol"), c.Protocol, "", "http", "https")
	case "script":
		if c.Command == "" {
			v.add(p.Attr("command"), "", "a script check needs a command")
		}
		if t == nil && c.TaskName == "" && s.TaskName == "" && len(g.Tasks) > 1 {
			v.add(p.Attr("task"), "task = the task to run it in", "the script check of a group's service needs a task")
		}
	}
	if (c.Type == "http" || c.Type == "tcp" || c.Type == "grpc") && s.PortLabel == "" && c.PortLabel == "" && !c.Expose {
		v.add(p.Attr("port"), "port in the service or the check", "a %s check needs a port", c.Type)
	}
	v.oneOf(p.Attr("initial_status"), c.InitialStatus, "", "passing", "warning", "critical")
	v.oneOf(p.Attr("on_update"), c.OnUpdate, "", "require_healthy", "ignore_warnings", "ignore")
	if c.SuccessBeforePassing < 0 || c.FailuresBeforeCritical < 0 || c.FailuresBeforeWarning < 0 {
		v.add(p, "", "success_before_passing and failures_before_* must not be negative")
	}
	v.checkRestart(p.Attr("check_restart"), c.CheckRestart)
}

func (v *validator) checkRestart(p Path, r *CheckRestart) {
	if r == nil {
		return
	}
	if r.Limit < 0 {
		v.add(p.Attr("limit"), "", "must not be negative, but is %d", r.Limit)
	}
	v.notNegative(p.Attr("grace"), r.Grace)
}
