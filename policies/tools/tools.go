//go:build tools

// Package tools pins the compiler and test runner of the Rego policies.
package tools

import _ "github.com/open-policy-agent/opa/cmd"
