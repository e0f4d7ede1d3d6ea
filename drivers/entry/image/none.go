//go:build !steppe_launcher

package image

var program string
