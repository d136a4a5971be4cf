zerohop_cpl0:
    ud2
