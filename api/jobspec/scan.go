package jobspec

import (
	"bytes"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/steppe-project/steppe/model"
)

// Bounds of a file's text. The parser recurses with the nesting of the text,
// and a stack that overflows ends the process: so the tokens are counted first.
const (
	// MaxSourceBytes bounds a file. Real ones stay under 100 KB; of each byte
	// the parser may make 500, for a moment.
	MaxSourceBytes = 1 << 20
	// maxRow bounds operators that nest without brackets: - ! ? %{.
	maxRow = 2000
)

// lexer is one of hclsyntax's: for a file, an expression, a template.
type lexer func(src []byte, filename string, start hcl.Pos) (hclsyntax.Tokens, hcl.Diagnostics)

// scan says whether a text can be parsed safely.
func (e *evaluator) scan(src []byte, filename string, lex lexer) bool {
	if len(src) > MaxSourceBytes {
		e.diags.add(hcl.Range{Filename: filename}, "", "the file is %d bytes long; at most %d are accepted", len(src), MaxSourceBytes)
		return false
	}
	tokens, _ := lex(src, filename, hcl.InitialPos)
	rows := []int{0} // operators in a row, for each open bracket
	for _, t := range tokens {
		top := len(rows) - 1
		switch t.Type {
		case hclsyntax.TokenTemplateControl:
			rows[top]++
			rows = append(rows, 0)
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp,
			hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc:
			rows = append(rows, 0)
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd,
			hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc:
			rows = rows[:max(1, top)]
		case hclsyntax.TokenMinus, hclsyntax.TokenBang, hclsyntax.TokenQuestion:
			rows[top]++
		case hclsyntax.TokenEqual, hclsyntax.TokenComma:
			rows[top] = 0 // another expression begins
		}
		// Quotes and what they hold count as levels of their own.
		if len(rows) > 3*model.MaxNesting || rows[len(rows)-1] > maxRow || rows[min(top, len(rows)-1)] > maxRow {
			e.diags.add(t.Range, "", "the file nests deeper than %d levels", model.MaxNesting)
			return false
		}
	}
	return true
}

// positionAt is the position of an offset; columns count bytes.
func positionAt(src []byte, offset int) hcl.Pos {
	before := src[:max(0, min(offset, len(src)))]
	return hcl.Pos{
		Line: 1 + bytes.Count(before, []byte{'\n'}), Column: len(before) - bytes.LastIndexByte(before, '\n'), Byte: len(before),
	}
}
