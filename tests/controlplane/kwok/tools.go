//go:build tools

// Package kwok pins the version of KWOK that is built.
package kwok

import _ "sigs.k8s.io/kwok/cmd/kwok"
