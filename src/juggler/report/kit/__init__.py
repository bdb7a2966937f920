"""What every table, picture and page is made of: sheets, units, colours, SVG, the page itself."""
