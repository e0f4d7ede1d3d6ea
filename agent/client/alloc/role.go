package alloc

import "github.com/steppe-project/steppe/model"

// role is a task's place in the life of its group.
type role uint8

const (
	roleMain role = iota
	rolePrestart
	rolePrestartSidecar
	rolePoststart
	rolePoststartSidecar
	rolePoststop
)

// roleOf reads the lifecycle block.
func roleOf(t *model.Task) role {
	if t.Lifecycle == nil {
		return roleMain
	}
	switch t.Lifecycle.Hook {
	case model.HookPrestart:
		if t.Lifecycle.Sidecar {
			return rolePrestartSidecar
		}
		return rolePrestart
	case model.HookPoststart:
		if t.Lifecycle.Sidecar {
			return rolePoststartSidecar
		}
		return rolePoststart
	case model.HookPoststop:
		return rolePoststop
	}
	return roleMain
}

func (r role) sidecar() bool { return r == rolePrestartSidecar || r == rolePoststartSidecar }

// restartsOnSuccess tells whether an end with exit code 0 is one too soon:
// services and sidecars are meant to stay.
func (r role) restartsOnSuccess(jobType string) bool {
	if r.sidecar() {
		return true
	}
	return r == roleMain && (jobType == model.JobTypeService || jobType == model.JobTypeSystem)
}
