//go:build !steppe_faults

package agent

import "github.com/steppe-project/steppe/model/feature"

// understood is the newest feature level of this binary. Binaries built for tests of
// faults can be told to understand less, or to know one more (understood_faults.go).
func understood() feature.Level { return feature.Newest }
