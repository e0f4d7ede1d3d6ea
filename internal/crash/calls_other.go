//go:build !amd64

package crash

var legacyCalls = map[int]string{}
