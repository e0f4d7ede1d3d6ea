package host

import (
	"encoding/json"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Limits of one string that holds ${...} or %{...}, and of an expression in a
// plugin's schema.
const (
	// maxTemplateBytes is far above what is put in a configuration and not in a
	// template block.
	maxTemplateBytes = 256 << 10
	// maxTemplateParts bounds the tokens on which parser and evaluation recurse:
	// brackets, operators, interpolations. They take some 8 KB of stack for each level, and running out of stack ends
	// the process, which no recover can prevent.
	maxTemplateParts = 2000
)

// tooComplex tells whether parsing tokens might recurse too deep, or yield
// numbers of endless digits.
func tooComplex(tokens hclsyntax.Tokens) bool {
	parts := 0
	for _, t := range tokens {
		if t.Type == hclsyntax.TokenNumberLit && !finite(string(t.Bytes)) {
			return true
		}
		switch t.Type {
		case hclsyntax.TokenStringLit, hclsyntax.TokenQuotedLit, hclsyntax.TokenIdent, hclsyntax.TokenNumberLit,
			hclsyntax.TokenTemplateSeqEnd, hclsyntax.TokenCQuote, hclsyntax.TokenComma, hclsyntax.TokenNewline:
		default:
			parts++
		}
	}
	return parts > maxTemplateParts
}

// finite tells whether text is a number that a float can hold. Larger ones are
// exact in HCL, and written out as a text of up to 2^31 digits.
func finite(text string) bool {
	f, err := strconv.ParseFloat(text, 64)
	return err == nil && !math.IsInf(f, 0)
}

// parseExpression parses a small expression of a plugin's schema.
func parseExpression(kind, text string) (hclsyntax.Expression, error) {
	if len(text) > maxTemplateBytes {
		return nil, fmt.Errorf("a %s has more than %d bytes", kind, maxTemplateBytes)
	}
	tokens, diags := hclsyntax.LexExpression([]byte(text), kind, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, fmt.Errorf("%s %q: %w", kind, text, diags)
	}
	if tooComplex(tokens) {
		return nil, fmt.Errorf("a %s has more than %d parts", kind, maxTemplateParts)
	}
	expr, diags := hclsyntax.ParseExpression([]byte(text), kind, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, fmt.Errorf("%s %q: %w", kind, text, diags)
	}
	return expr, nil
}

// checkTemplates finds the strings in v that must not be evaluated: too long
// ones, loops, whose cost their length does not bound, and numbers beyond a float.
func checkTemplates(path string, v any) []Problem {
	var out []Problem
	switch v := v.(type) {
	case string:
		if p := checkTemplate(v); p != "" {
			out = append(out, Problem{path, p})
		}
	case json.Number:
		if !finite(v.String()) {
			out = append(out, Problem{path, "the number is too large"})
		}
	case []any:
		for i, element := range v {
			out = append(out, checkTemplates(fmt.Sprintf("%s[%d]", path, i), element)...)
		}
	case map[string]any:
		for _, key := range sortedKeys(v) {
			inner := strings.TrimPrefix(path+"."+key, ".")
			if p := checkTemplate(key); p != "" {
				out = append(out, Problem{inner, p})
			}
			out = append(out, checkTemplates(inner, v[key])...)
		}
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func checkTemplate(text string) string {
	if !strings.Contains(text, "${") && !strings.Contains(text, "%{") {
		return ""
	}
	if len(text) > maxTemplateBytes {
		return fmt.Sprintf("a text with ${...} in it has at most %d bytes, this one %d; a template block takes longer ones", maxTemplateBytes, len(text))
	}
	tokens, _ := hclsyntax.LexTemplate([]byte(text), "template", hcl.InitialPos)
	if tooComplex(tokens) {
		return fmt.Sprintf("a text with ${...} in it has at most %d parts; a template block takes more", maxTemplateParts)
	}
	expr, diags := hclsyntax.ParseTemplate([]byte(text), "template", hcl.InitialPos)
	if diags.HasErrors() {
		return "" // the decoder tells it with its place
	}
	loops := false
	hclsyntax.VisitAll(expr, func(n hclsyntax.Node) hcl.Diagnostics {
		switch n.(type) {
		case *hclsyntax.ForExpr, *hclsyntax.SplatExpr:
			loops = true
		}
		return nil
	})
	if loops {
		return "loops are for the job file, not for what is evaluated on the node"
	}
	return ""
}
