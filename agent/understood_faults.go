//go:build steppe_faults

package agent

import (
	"os"
	"strconv"

	"github.com/steppe-project/steppe/model/feature"
)

// featureEnv names the newest feature level that this binary is to understand, less
// than it does or more. Only binaries built with the tag steppe_faults read it.
const featureEnv = "STEPPE_FAULTS_FEATURE_LEVEL"

// understood is the newest feature level of this binary, or what a test wants.
func understood() feature.Level {
	if n, err := strconv.Atoi(os.Getenv(featureEnv)); err == nil {
		return feature.Level(n)
	}
	return feature.Newest
}
